"""Fingerprints: one hash of the code that decides a result, for each consumer of it.

A consumer is one run of a stage: the training of one variant, the preparation of one dataset. Its code is the import
closure of its entry modules. That holds its model, its loss terms and its task, and none of the others. Nothing is
imported to find this: the files are parsed.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from seglib.pipeline.source import Source, Used

ROOT = Path(__file__).parents[2]

# Modules that cannot change a byte of an output. They are in no closure, nor is what only they import, unless a
# consumer names one as an entry.
INERT = frozenset({
    "seglib.child",  # how a process that does part of the work ends
    "seglib.metrics.scores.headline",  # the line that an evaluation prints
    "seglib.pipeline.asked",  # what DVC was asked for
    "seglib.pipeline.background",  # the thread in which MLflow is written
    "seglib.pipeline.code",  # whether the code is still what it was
    "seglib.pipeline.fingerprint",
    "seglib.pipeline.group",  # which trainings one stage trains
    "seglib.pipeline.identity",  # the names of checkpoints and of MLflow's runs, and a training's provenance
    "seglib.pipeline.locks",  # who waits for whom
    "seglib.pipeline.normal_form",
    "seglib.pipeline.forked",  # which process does the work
    "seglib.pipeline.provenance",  # where a result was made; an entry of compare, which reads it
    "seglib.pipeline.records",  # what results leave for MLflow
    "seglib.pipeline.repair",  # of dvc.lock
    "seglib.pipeline.source",
    "seglib.pipeline.tracking",  # MLflow
    "seglib.pipeline.user_paths",  # what resolve refuses
    "seglib.pipeline.watchdog",  # a stage ends with its DVC
    "seglib.pipeline.workspace",  # where files are; an entry of compare and report, whose inputs it lists
    "seglib.training.job",  # a training of a group
    "seglib.training.memory",  # how many trainings fit
    "seglib.training.processes",  # trainings at once, a process for each
    "seglib.training.progress",  # what a terminal shows
    "seglib.training.round_robin",  # trainings at once, a step of each in turn
    "seglib.training.together",
})

# Modules that only word messages. They count if messages do.
WORDS = frozenset({"seglib.names"})


class Fingerprinter:
    """The fingerprints of code as it is when this is first asked about it. Make a new one to see later edits.

    root: the folder in which the packages are.
    """

    def __init__(self, root: Path = ROOT):
        self._root = root
        self._sources: dict[str, Source | None] = {}

    def of(self, entries: Iterable[str], *, uses: Mapping[str, Collection[str]] | None = None, messages: bool = False,
           extra: Iterable[str] = ()) -> str:
        """The fingerprint of one consumer: sha256, as 64 hex digits.

        extra: patterns of other files that decide its bytes, such as templates, relative to the root. The other
        arguments are those of `modules`. Raises ValueError as `modules` does, and if a pattern matches no file.
        """
        lines = [f"{name} {sha256}" for name, sha256 in self.modules(entries, uses=uses, messages=messages).items()]
        for pattern in extra:
            files = [path for path in self._root.glob(pattern) if path.is_file()]
            if not files:
                raise ValueError(f"no file matches {pattern} in {self._root}")
            lines += [f"{path.relative_to(self._root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}"
                      for path in files]
        return hashlib.sha256("\n".join(sorted(set(lines))).encode()).hexdigest()

    def modules(self, entries: Iterable[str], *, uses: Mapping[str, Collection[str]] | None = None,
                messages: bool = False) -> dict[str, str]:
        """The import closure of a consumer: each module's dotted name and the sha256 of what counts of it, sorted.

        The closure holds the packages of its modules, what is imported in functions, and what a text names
        ("package.module:attribute"), as the entries of registries do. It does not hold what is imported for type
        checkers alone.

        entries: the modules that the consumer runs, and those that it loads by a name which no registry holds.
        uses: what the consumer uses of registries, and of modules that have a class for each of several consumers. The
            key "package.module:NAME" gives the entries of the registry NAME. The key "package.module" gives classes at
            the module's top. Only these classes count, and those that the closure imports by name. A module without a
            key counts as a whole.
        messages: whether the texts of messages reach an output, and so count.

        Raises ValueError if a module, registry, entry or class does not exist, or if a file is not Python.
        """
        entries, uses = list(entries), _by_module(uses or {})
        for name in [*entries, *uses]:
            if self._source(name) is None:
                raise ValueError(f"there is no module {name} in {self._root}")
        while True:
            found, names = self._closure(entries, uses, messages)
            wider = {name: used if used.classes is None else used.with_classes(self._imported_classes(name, names))
                     for name, used in uses.items()}
            if wider == uses:
                return dict(sorted(found.items()))
            uses = wider

    def _closure(self, entries: list[str], uses: Mapping[str, Used], messages: bool) -> tuple[dict[str, str], set[str]]:
        """The sha256 of each module in the closure, and all names that these modules mention as modules."""
        inert = INERT if messages else INERT | WORDS
        found: dict[str, str] = {}
        names: set[str] = set()
        waiting = list(entries)
        while waiting:
            name = waiting.pop()
            if name in found or (source := self._source(name)) is None:
                continue
            counted = source.counted(uses.get(name, Used()), messages=messages)
            found[name] = counted.sha256
            names |= counted.names
            waiting += counted.names - inert
            if package := name.rpartition(".")[0]:  # it runs before its modules
                waiting.append(package)
        return found, names

    def _imported_classes(self, module: str, names: set[str]) -> list[str]:
        return [name for name in self._source(module).classes if f"{module}.{name}" in names]

    def _source(self, name: str) -> Source | None:
        """A module or package by its dotted name; None if the root does not hold it."""
        if name not in self._sources:
            place = self._root.joinpath(*name.split("."))
            files = [path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()]
            self._sources[name] = Source(files[0], name) if files else None
        return self._sources[name]


def _by_module(uses: Mapping[str, Collection[str]]) -> dict[str, Used]:
    found: dict[str, Used] = {}
    for key, used in uses.items():
        module, _, registry = key.partition(":")
        one = found.get(module, Used())
        found[module] = one.with_entries(registry, used) if registry else one.with_classes(used)
    return found
