"""Trainings in turns within one process, as on a GPU: how many at once, and the same bytes as alone."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seglib.configs import TrainConfig
from seglib.training.device import OutOfMemory
from seglib.training.job import Job, OnEpoch, Skipped
from seglib.training.loop import Trainer
from seglib.training.progress import GroupScreen
from seglib.training.round_robin import Occupancy, RoundRobin
from tests.training.test_resume import train, written

GB = 1e9


class Memory:
    """The memory of a device that is not there: each training that has stepped takes as much of it."""

    def __init__(self, size: float = 80 * GB, each: float = GB):
        self.size, self.each, self.trainings = size, each, 0

    def free(self) -> float:
        return self.size - self.taken()

    def taken(self) -> float:
        return self.trainings * self.each

    def wait(self) -> None:
        """Nothing is asynchronous here."""

    def clear(self) -> None:
        """Nothing is cached here."""


def tried(occupancy: Occupancy, rate: Callable[[int], float], *, jobs: int = 100, rounds: int = 10) -> list[int]:
    """How many run after each measurement, if so many run at such a rate and memory is plenty."""
    found, running = [], 0
    for _ in range(rounds):
        while running < jobs and occupancy.may_start(running, started=0, free=80 * GB, each=GB):
            running += 1
        found.append(running)
        occupancy.measured(running, rate(running))
        running = int(min(running, occupancy.aim))
    return found


@pytest.mark.parametrize(("rate", "expected"), [
    (lambda n: 100.0, [1, 2, 1, 1]),  # two are no faster than one
    (lambda n: min(n, 12) / 0.01, [1, 2, 4, 8, 16, 32, 16, 16]),  # 16 are faster than 8, 32 no faster than 16
    (lambda n: 100.0 * n, [1, 2, 4, 8, 16, 32, 64, 100])])
def test_twice_as_many_are_tried_as_long_as_that_is_faster(rate: Callable[[int], float], expected: list[int]):
    assert tried(Occupancy(None), rate)[:len(expected)] == expected


def test_a_number_that_is_asked_for_is_not_measured():
    assert tried(Occupancy(5), lambda n: 100.0)[:3] == [5, 5, 5]


def test_memory_bounds_them_too():
    occupancy = Occupancy(8)
    assert occupancy.may_start(0, started=0, free=0, each=None)
    assert not occupancy.may_start(1, started=1, free=80 * GB, each=None)  # what one takes is not known yet
    assert occupancy.may_start(2, started=0, free=2 * GB, each=GB)
    assert not occupancy.may_start(2, started=1, free=2 * GB, each=GB)
    occupancy.ran_out(4)
    assert occupancy.aim == 3


class Group:
    """Real trainings as jobs of one group, and how many of them were under way at each step."""

    def __init__(self, configs: dict[str, TrainConfig], dataset: Path, out: Path):
        self.configs, self.dataset, self.out = configs, dataset, out
        self.found: dict[str, Any] = {}
        self.memory, self.under_way, self.epochs = Memory(), [], []
        self.fails: dict[str, list[Exception]] = {}
        self.failed_at = 0

    def steps(self, title: str, on_epoch: OnEpoch) -> Iterator[None]:
        trainer = Trainer(self.configs[title], self.dataset, checkpoint_path=self.out / title / "last.pt",
                          checkpoint_every=0)
        self.memory.trainings += 1
        try:
            with trainer.progress(title) as progress:
                for number, _ in enumerate(trainer.steps(progress, on_epoch)):
                    self.under_way.append(self.memory.trainings)
                    if number == 3 and self.fails.get(title):
                        self.failed_at = len(self.under_way)
                        raise self.fails[title].pop()
                    yield
                self.found[title] = written(trainer.finish(progress), self.out / title)
        finally:
            self.memory.trainings -= 1

    def run(self, occupancy: Occupancy) -> dict[str, Exception]:
        jobs = [Job(title=title, images=1, threads=1, steps=lambda on_epoch, title=title: self.steps(title, on_epoch),
                    on_epoch=self.epochs.append) for title in self.configs]
        for title in self.configs:
            (self.out / title).mkdir(parents=True)
        screen = GroupScreen("group", dict.fromkeys(self.configs, 1))
        return RoundRobin(jobs, screen, occupancy, self.memory).run()


@pytest.fixture
def group(training_config: Callable[..., TrainConfig], prepared_shapes: Path, tmp_path: Path) -> Group:
    """Four trainings: three seeds, one of them shorter, and another optimizer with augmentation."""
    config = training_config(epochs=4, log_every=1)
    configs = {f"seed {seed}": dataclasses.replace(config, seed=seed) for seed in (1, 2)}
    configs["short"] = training_config(epochs=1)
    configs["other"] = training_config(epochs=4, optimizer="radam", flip=0.5, rotation=10.0)
    return Group(configs, prepared_shapes, tmp_path)


def alone(group: Group) -> dict[str, Any]:
    (group.out / "alone").mkdir()
    return {title: train(config, group.dataset, group.out / "alone") for title, config in group.configs.items()}


def test_each_ends_in_the_bytes_that_it_has_alone(group: Group):
    assert group.run(Occupancy(3)) == {}
    assert group.found == alone(group)
    assert max(group.under_way) == 3
    assert len(group.epochs) == 4 + 4 + 1 + 4


def test_one_that_runs_out_of_memory_waits_and_resumes(group: Group, capsys: pytest.CaptureFixture):
    group.fails["seed 2"] = [OutOfMemory("out of memory on cuda")]
    assert group.run(Occupancy(3)) == {}
    assert group.found == alone(group)
    said = capsys.readouterr().out
    assert "seed 2 waits for memory: 3 at once are too many" in said and "seed 2 goes on after" in said
    assert max(group.under_way[:group.failed_at]) == 3
    assert max(group.under_way[group.failed_at:]) == 2


def test_one_that_fails_or_is_left_out_leaves_the_others_alone(group: Group, capsys: pytest.CaptureFixture):
    failure = ValueError("it is damaged")
    group.fails |= {"seed 1": [failure], "other": [Skipped("another process trains it")]}
    failed = group.run(Occupancy(4))
    assert failed == {"seed 1": failure}
    expected = alone(group)
    assert group.found == {title: expected[title] for title in ("seed 2", "short")}
    said = capsys.readouterr().out
    assert "seed 1 failed: it is damaged. The others go on; its own stage will say more" in said
    assert "other is left out: another process trains it" in said


def test_one_that_runs_out_of_memory_alone_fails(group: Group):
    failure = OutOfMemory("out of memory on cuda")
    group.fails["short"] = [failure]
    group.configs = {"short": dataclasses.replace(group.configs["short"], train=dataclasses.replace(
        group.configs["short"].train, epochs=2))}
    assert group.run(Occupancy(None)) == {"short": failure}
