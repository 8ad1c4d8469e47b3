"""The road killed at random moments, begun again until it ends, and compared with one that nobody disturbed.

    python -m tests.road.kills --seed 1 --kills 10 repro exp temp queue     # so many kills for each way to run it

Each way has a clone of its own. A kill waits for a stage to begin (or, where that one is done by now, the next that
does) and then for a random share of the time until the following stage began in the undisturbed run: so some fall into
DVC's own work. One kind waits for the moment in which DVC rewrites dvc.lock. After each, nothing of the clone may be
alive; in the end every file must be what it is undisturbed.
"""

import argparse
import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from ruamel.yaml import YAML

from seglib.files import file_sha256
from tests.road.clones import clone, environment

CHANGES = {"run": {"losses": ["mse", "dice"], "seeds": [1]}, "train": {"epochs": 2, "threads": 1, "log_every": 4},
           "models": {"munet": {"width": 8}}, "datasets": {"shapes": {"train_images": 160, "test_images": 40}},
           "compare": {"gallery": 6, "pictures": 3}}
EPOCHS = 3  # what the commands ask for; params.yaml says 2, so that an experiment has something to change
COMPARED = ("conf", "data", "runs", "results", "comparisons", "metrics.json")  # reports and timings name times
MADE = (*COMPARED, "timings", "reports", ".work/checkpoints", ".work/tracking", ".work/mlflow")
GRACE = 3.0  # times what `resolve` takes, and as many seconds: so long may what a kill left take to end by itself
LOOK = 0.05  # seconds between two looks at what runs


KINDS = ("SIGTERM to dvc", "SIGKILL to dvc", "SIGKILL to the stage", "SIGKILL to all")
WITHIN_LOCK = "SIGKILL in dvc.lock"


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to run the road, and to have its results in the workspace once it has ended."""

    commands: tuple[tuple[str, ...], ...]
    collect: tuple[str, ...] = ()
    kinds: tuple[str, ...] = (*KINDS, "Ctrl-C", WITHIN_LOCK)


ASKED = ("-S", f"train.epochs={EPOCHS}")
WAYS = {
    "repro": Way((("dvc", "repro"),)),
    "exp": Way((("dvc", "exp", "run", *ASKED),)),
    # These two write a dvc.lock in a temporary folder, that nobody goes on with.
    "temp": Way((("dvc", "exp", "run", "--temp", "--force", "--name", "killed", *ASKED),),
                collect=("dvc", "exp", "apply", "killed"), kinds=(*KINDS, "Ctrl-C")),
    # A worker is nobody's child: there is no group to interrupt.
    "queue": Way((("dvc", "exp", "run", "--queue", "--force", "--name", "killed", *ASKED), ("dvc", "queue", "start")),
                 collect=("dvc", "exp", "apply", "killed"), kinds=KINDS),
}


@dataclasses.dataclass(frozen=True)
class Kill:
    kind: str
    stage: int  # its place on the road
    share: float  # of the time until the next stage began


@dataclasses.dataclass
class Killed:
    """A kill that was made: the stage that ran, the seconds it had run, and whatever was wrong afterwards."""

    way: str
    kind: str
    stage: str
    after: float
    gone: float  # seconds until nothing was alive
    alive: list[str]
    mended: str  # what `seglib repair` then said


def prepared_clone(folder: Path, epochs: int) -> Path:
    """A clone with a small study, committed."""
    repository = clone(folder)
    yaml, path = YAML(), repository / "params.yaml"
    content = yaml.load(path)
    for section, changes in CHANGES.items():
        for key, value in changes.items():
            content[section][key].update(value) if isinstance(value, dict) else content[section].update({key: value})
    content["train"]["epochs"] = epochs
    yaml.dump(content, path)
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "a small study"], cwd=repository,
                   env=environment(), check=True)
    return repository


def processes(repository: Path) -> list[psutil.Process]:
    """All that work in the repository."""
    inside = f"{repository}/"
    return [process for process in psutil.process_iter(["cwd", "cmdline"]) if process.pid != os.getpid()
            and f"{process.info['cwd'] or ''}/".startswith(inside)]


def stage_of(process: psutil.Process) -> str:
    """ "train shapes munet-mse-1" of a process that runs it; else ""."""
    words = process.info["cmdline"] or []
    place = next((i for i, word in enumerate(words) if word.startswith("stages.") and words[i - 1] == "-m"), None)
    return "" if place is None else " ".join([words[place].removeprefix("stages."), *words[place + 1:]])


class Road:
    """A clone in which the road is run, by one of the ways."""

    def __init__(self, repository: Path, way: str):
        self.repository, self.name, self.way = repository, way, WAYS[way]
        self.log = repository.parent / f"{way}.log"

    def start(self) -> subprocess.Popen:
        """Begin. The process that is given is dvc itself, the leader of its group."""
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as in tests/conftest.py
        *before, last = self.way.commands
        for command in before:
            self._run(command)
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(last)}\n")
            log.flush()
            return subprocess.Popen(last, cwd=self.repository, env=environment(), stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, start_new_session=True)

    def stages(self, dvc: subprocess.Popen) -> Iterator[tuple[float, psutil.Process, str]]:
        """Each stage as it begins: when, its process, its name. Ends when all that runs has ended."""
        seen = ""
        while True:
            running = processes(self.repository)
            for process in running:
                if (stage := stage_of(process)) not in ("", seen):  # what it forks is called the same for a moment
                    seen = stage
                    yield time.monotonic(), process, stage
            if dvc.poll() is not None and not running:
                return
            time.sleep(LOOK)

    def finish(self) -> None:
        """Run it to its end, and have its results in the workspace."""
        dvc = self.start()
        for _ in self.stages(dvc):
            pass
        assert dvc.returncode == 0, f"{self.name} does not end:\n{self.tail()}"
        if self.way.collect:
            self._run(self.way.collect)

    def kill(self, kill: Kill, timeline: list[tuple[str, float]]) -> Killed | None:
        """Run it until that kill, and look what is left; None where it ended before. `timeline`: stages, seconds."""
        places = {stage: place for place, (stage, _) in enumerate(timeline)}
        dvc = self.start()
        for began, process, stage in self.stages(dvc):
            if places[stage] < kill.stage:
                continue
            if kill.kind == WITHIN_LOCK:
                await_shrinking(self.repository / "dvc.lock", dvc)
            else:
                time.sleep(max(0.0, began + kill.share * timeline[places[stage]][1] - time.monotonic()))
            if kill.kind == "SIGKILL to the stage" and not process.is_running():  # DVC's own work: wait for the next
                continue
            strike(kill.kind, dvc, process, self.repository)
            after = time.monotonic() - began
            alive = self.left_alive(dvc, kill.kind, grace=GRACE * (1 + timeline[0][1]))
            gone = time.monotonic() - began - after
            return Killed(self.name, kill.kind, stage, after, gone, alive, self._run(("seglib", "repair")).strip())
        return None

    def left_alive(self, dvc: subprocess.Popen, kind: str, grace: float) -> list[str]:
        """What a kill left that does not end by itself. It is ended, so that the next run is not disturbed."""
        end = time.monotonic() + grace
        while (alive := self._left(kind)) and time.monotonic() < end:
            dvc.poll()  # or it stays, as a zombie
            time.sleep(LOOK)
        described = [" ".join(process.info["cmdline"] or []) or str(process) for process in alive]
        while alive := processes(self.repository):
            for process in alive:
                signal_to(process.pid, signal.SIGKILL)
            time.sleep(LOOK)
        dvc.wait()
        return described

    def _left(self, kind: str) -> list[psutil.Process]:
        """A queue's worker outlives a stage that fails: it looks for more work, and ends when there is none."""
        return [process for process in processes(self.repository)
                if self.name != "queue" or kind != "SIGKILL to the stage" or stage_of(process)]

    def _run(self, command: tuple[str, ...]) -> str:
        done = subprocess.run(command, cwd=self.repository, env=environment(), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}")
        assert done.returncode == 0, f"{' '.join(command)}: {self.tail()}"
        return done.stdout

    def tail(self) -> str:
        return self.log.read_text()[-3000:]


def await_shrinking(path: Path, dvc: subprocess.Popen) -> None:
    """Until the file is shorter than it was, as one is that is written anew in place, or DVC has ended."""
    size = path.stat().st_size
    while dvc.poll() is None and (now := path.stat().st_size) >= size:
        size = now
        time.sleep(LOOK / 100)


def strike(kind: str, dvc: subprocess.Popen, stage: psutil.Process, repository: Path) -> None:
    if kind == "Ctrl-C":
        os.killpg(dvc.pid, signal.SIGINT)
    elif kind == "SIGKILL to the stage":
        signal_to(stage.pid, signal.SIGKILL)
    elif kind == WITHIN_LOCK:  # no time to look for more
        signal_to(dvc.pid, signal.SIGKILL)
    elif kind == "SIGKILL to all":
        for process in processes(repository):
            signal_to(process.pid, signal.SIGKILL)
    else:
        number = signal.SIGTERM if kind == "SIGTERM to dvc" else signal.SIGKILL
        for process in processes(repository):
            if any(word == "dvc" or "/dvc" in word for word in (process.info["cmdline"] or [])[1:3]):  # a queue's too
                signal_to(process.pid, number)


def signal_to(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(pid, number)


def hashes(repository: Path) -> dict[str, str]:
    """sha256 of every file that must be the same, hidden ones included."""
    roots = [repository / name for name in COMPARED]
    files = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*")))
             if path.is_file() and path.name != ".gitignore"]
    return {str(path.relative_to(repository)): file_sha256(path) for path in files}


def temporaries(repository: Path) -> list[str]:
    """What is left of files that were being written."""
    return [str(path.relative_to(repository)) for name in MADE for path in sorted((repository / name).rglob(".*"))
            if path.name != ".gitignore"]


def undisturbed(folder: Path) -> tuple[dict[str, str], list[tuple[str, float]]]:
    """The files that one run leaves, and its stages with the seconds from each one's beginning to the next one's."""
    road = Road(prepared_clone(folder, EPOCHS), "repro")
    dvc = road.start()
    began = [(stage, at) for at, _, stage in road.stages(dvc)]
    assert dvc.returncode == 0, road.tail()
    ends = [*(at for _, at in began[1:]), time.monotonic()]
    return hashes(road.repository), [(stage, end - at) for (stage, at), end in zip(began, ends, strict=True)]


def plan(way: str, count: int, stages: int, generator: random.Random) -> list[Kill]:
    """Kills along the road: of each kind as many, the first stage (resolve) and the last (report) left out."""
    kinds = WAYS[way].kinds
    chosen = [kinds[i % len(kinds)] for i in range(count)]
    generator.shuffle(chosen)
    places = sorted(generator.uniform(1, stages - 1) for _ in range(count))
    return [Kill(kind, int(place), place % 1) for kind, place in zip(chosen, places, strict=True)]


def kill_along(folder: Path, way: str, kills: list[Kill], expected: dict[str, str], timeline: list[tuple[str, float]],
               say: Callable[[str], None] = print) -> tuple[list[Killed], list[str]]:
    """Kill a road so often, let it end, and compare: the kills that were made, and what is wrong in the end."""
    road = Road(prepared_clone(folder, EPOCHS if way == "repro" else 2), way)
    made = []
    for kill in kills:
        if killed := road.kill(kill, timeline):
            made.append(killed)
            left = f"STILL ALIVE: {'; '.join(killed.alive)}" if killed.alive else f"all gone {killed.gone:.1f} s later"
            left += f"; {killed.mended}" if killed.mended else ""
            say(f"{way:5}  {killed.kind:20}  {killed.after:5.1f} s into {killed.stage:26}  {left}")
    road.finish()
    found = hashes(road.repository)
    wrong = [f"{way}: {name} " + ("is missing" if name not in found else "should not be there" if name not in expected
                                  else "differs")
             for name in sorted(expected | found) if expected.get(name) != found.get(name)]
    wrong += [f"{way}: {name} was left behind" for name in temporaries(road.repository)]
    say(f"{way:5}  {len(expected)} files compared with the undisturbed run's: "
        + ("\n".join(["", *wrong]) if wrong else "all the same"))
    return made, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ways", nargs="*", default=list(WAYS), choices=[*WAYS, []], metavar="way")
    parser.add_argument("--kills", type=int, default=6, help="for each way")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        expected, timeline = undisturbed(Path(name) / "undisturbed")
        print(", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in timeline), flush=True)
        made, wrong = [], []
        for way in arguments.ways:
            kills = plan(way, arguments.kills, len(timeline), generator)
            for total, found in zip((made, wrong), kill_along(Path(name) / way, way, kills, expected, timeline),
                                    strict=True):
                total += found
    alive = sum(bool(killed.alive) for killed in made)
    print(f"{len(made)} kills, seed {arguments.seed}: {alive} left something alive, {len(wrong)} files are wrong")
    sys.exit(bool(alive or wrong))


if __name__ == "__main__":
    main()
