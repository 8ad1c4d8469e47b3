"""Several trainings at once: on a CPU in processes of their own, on a GPU in turns within this process."""

from collections.abc import Sequence

import torch

from seglib.cores import physical_cores
from seglib.training.job import Job
from seglib.training.processes import Processes
from seglib.training.progress import GroupScreen
from seglib.training.round_robin import Device, Occupancy, RoundRobin


def places(device: torch.device, threads: int, at_once: int | None) -> int | None:
    """How many trainings of so many threads each run at once; None if trying decides it.

    at_once: how many are asked for; None: as many as the machine allows.
    """
    if device.type == "cuda":
        return at_once
    fit = max(1, physical_cores() // threads)
    return fit if at_once is None else min(at_once, fit)


def train_together(name: str, jobs: Sequence[Job], device: torch.device, at_once: int | None) -> dict[str, Exception]:
    """Run all jobs. Returns the error of each that failed, by its title; an error of one leaves the others alone.

    name: of the group. at_once: how many may run at once; None: as many as the machine allows.
    """
    screen = GroupScreen(name, {job.title: job.images for job in jobs})
    try:
        if device.type == "cuda":
            return RoundRobin(jobs, screen, Occupancy(at_once), Device(device)).run()
        cores = physical_cores()
        return Processes(jobs, screen, cores=cores, at_once=cores if at_once is None else at_once).run()
    finally:
        screen.close()
