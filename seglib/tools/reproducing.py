"""`seglib reproduce`: the experiment behind an entry of published.yaml, held against the figures that were printed."""

import dataclasses
import itertools
import math
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from seglib import resolve
from seglib.comparison import published
from seglib.comparison.agreement import DIFFERS, GENERATED, NOT_COMPARABLE, data_rows
from seglib.comparison.published import Reproduction
from seglib.comparison.published_values import Data
from seglib.datasets.check import Report
from seglib.datasets.readers import reader_of
from seglib.files import read_json, work_dir
from seglib.names import nearest
from seglib.params import Params
from seglib.report.words import as_printed
from seglib.tools import checking, studies
from seglib.training.batches import batch_sizes

PUBLISHED = Path("published.yaml")
GENERATE = "generated"  # the value of --data for a generated stand-in
SAMPLE = "a sample"
WIDTHS = {"number": 3, "quantity": 30, "of": 20, "published": 14, "ours": 22, "verdict": 30}  # characters
HEADINGS = {"number": "", "quantity": "quantity", "of": "of", "published": "published", "ours": "ours (95 % interval)",
            "verdict": "verdict"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What will run: the entry, and its study's changes to params.yaml."""

    name: str
    entry: Reproduction
    changes: list[str]
    settings: Params
    sample: bool
    first: int | None  # how many iterations are trained; None: all

    @classmethod
    def of(cls, name: str, *, sample: bool = False, data: str | None = None, mirror: Path | None = None,
           first: int | None = None, changes: Sequence[str] = ()) -> Self:
        """The study of an entry with these options.

        data: the absolute path of a folder or a tarball in place of the download, or "generated". mirror: a folder in
        place of the network. changes: further values, applied after these. first: train for so many iterations only,
        whatever the length that the other values give.
        Raises ValueError for a name that published.yaml does not have, for data that this dataset cannot take, and for
        changes after which the study trains nothing of the entry.
        """
        entry = published.find(published.load(PUBLISHED), name)
        if not entry.figures:
            raise ValueError(f"{name} has no published figure; `seglib study {entry.study}` repeats the experiment and "
                             "decides its claims")
        given = studies.changes_of(entry.study, sample=sample)
        if mirror is not None:
            given.append(f"fetch.mirror={_quoted(mirror)}")
        if data is not None:
            given += _source(entry.dataset, data, studies.settings(given))
        given += changes
        if first is not None:
            given += first_iterations(first, entry.dataset, studies.settings(given))
        settings = studies.settings(given)
        _refuse_unknown_names(name, entry, settings)
        _refuse_other_picks(name, entry, settings)
        return cls(name=name, entry=entry, changes=given, settings=settings, sample=sample, first=first)

    @property
    def table(self) -> Path:
        """Where the finished study has the verdicts."""
        return studies.STUDIES / self.entry.study / "comparisons" / self.entry.dataset / "tables" / "published.json"


def _quoted(path: object) -> str:
    """Quote a value of `-S`, so that DVC takes it literally."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _source(dataset: str, data: str, settings: Params) -> list[str]:
    """The change that takes the data from `data`."""
    if not hasattr(settings.datasets[dataset], "source"):
        raise ValueError(f"--data: {dataset} has no other source than its publishers; --mirror names a folder with "
                         "their files")
    if data != GENERATE:
        return [f"datasets.{dataset}.source={_quoted(data)}"]
    change = f"datasets.{dataset}.source={GENERATE}"
    if not studies.settings([change]).datasets[dataset].generated():
        raise ValueError(f"--data: nothing generates {dataset}; give the path of its folder or tarball")
    return [change]


def first_iterations(count: int, dataset: str, settings: Params) -> list[str]:
    """The changes after which every training ends with this iteration: one epoch of as many batches.

    settings: with all other changes. A training whose encoder is frozen at first has two such epochs, one frozen and
    one free. Raises ValueError if the study's trainings have different batch sizes.
    """
    sizes = {training.train.train.batch_size for training in resolve.resolve(settings)}
    if len(sizes) > 1:
        raise ValueError(f"--first: the study has batches of {', '.join(map(str, sorted(sizes)))}; set epochs and "
                         "pictures_per_epoch by -S")
    run, pictures = settings.run, count * sizes.pop()
    changes = [f"train.epochs={1 + (settings.train.freeze_encoder_epochs > 0)}", f"train.pictures_per_epoch={pictures}"]
    for section, names in (("datasets", [dataset]), ("models", run.models), ("losses", run.losses)):
        for name in names:
            own = getattr(settings, section)[name].train
            freezes = bool(own.freeze_encoder_epochs)
            values = {"epochs": 1 + freezes, "pictures_per_epoch": pictures, "freeze_encoder_epochs": int(freezes)}
            changes += [f"{section}.{name}.train.{key}={value}" for key, value in values.items()
                        if key in own.model_fields_set]
    return changes


def _refuse_unknown_names(name: str, entry: Reproduction, settings: Params) -> None:
    """Raise ValueError for a dataset, a model or a loss of the entry that params.yaml does not have."""
    for section, names in (("datasets", [entry.dataset]), ("models", entry.recipe.models),
                           ("losses", entry.recipe.losses)):
        known = list(getattr(settings, section))
        for one in names:
            if one not in known:
                raise ValueError(f"published.yaml: {name}: params.yaml has no {section}.{one}: {nearest(one, known)}")


def _refuse_other_picks(name: str, entry: Reproduction, settings: Params) -> None:
    """Raise ValueError if `run` picks another dataset than the entry's, or none of its variants."""
    run = settings.run
    if entry.dataset not in run.datasets:
        raise ValueError(f"{name} is about {entry.dataset}, and run.datasets is {', '.join(run.datasets)}: take it out "
                         "of -S")
    if not entry.variants() & set(itertools.product(run.models, run.losses)):
        figures = ", ".join(sorted({" ".join(variant) for variant in entry.variants()}))
        raise ValueError(f"{name} is about {figures}; run.models and run.losses pick none of them: take them out of -S")


def check_data(plan: Plan, root: Path) -> tuple[Report, list[dict[str, Any]]]:
    """Read every picture as the study will, and hold the data against what was published of them.

    Returns what `seglib check` finds, and the rows of the table. Raises ValueError for data that cannot be had, and if
    `--first` asks for more iterations than an epoch has.
    """
    dataset = plan.entry.dataset
    folder = work_dir()
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="reproduce-") as raw:
        report = checking.check_fetched(dataset, plan.settings, root, Path(raw))
    if plan.first is not None:
        _refuse_beyond_an_epoch(plan, report)
    config = resolve.prepare_config(plan.settings, dataset)
    description = reader_of(config.kind).describe(config)
    data = Data(pictures=report.pictures, image_size=description.image_size, classes=description.classes,
                label_values=description.label_values, class_pixels=report.class_pixels["train"],
                valid_pixels=report.valid_pixels["train"], generated=plan.settings.datasets[dataset].generated())
    because = GENERATED if data.generated else SAMPLE if plan.sample else None
    return report, data_rows(plan.entry, data, because=because)


def _refuse_beyond_an_epoch(plan: Plan, report: Report) -> None:
    """Raise ValueError if an epoch has fewer iterations than `--first` asks for."""
    pictures = report.pictures["train"]
    if "val" not in report.pictures:  # `prepare` takes them from train
        pictures -= math.ceil(resolve.prepare_config(plan.settings, plan.entry.dataset).val_fraction * pictures)
    batch_size = resolve.resolve(plan.settings)[0].train.train.batch_size
    iterations = len(batch_sizes(pictures, batch_size, learns=True))
    if plan.first > iterations:
        raise ValueError(f"an epoch has {iterations:,} iterations; --first takes at most that many")


def differs(rows: Sequence[dict[str, Any]]) -> bool:
    return any(row["verdict"] == DIFFERS for row in rows)


def verdicts(plan: Plan) -> list[dict[str, Any]]:
    """The rows of this reproduction in the finished study. No row of a sample is comparable."""
    rows, = (entry["rows"] for entry in read_json(plan.table) if entry["name"] == plan.name)
    return [row | {"verdict": NOT_COMPARABLE, "because": SAMPLE} for row in rows] if plan.sample else rows


def render(rows: Sequence[dict[str, Any]]) -> str:
    """The table as plain text, its cells wrapped. Below it stands each definition, by the number of its rows."""
    numbers: dict[str, int] = {}
    width = sum(WIDTHS.values()) + 2 * (len(WIDTHS) - 1)
    lines = [_line(HEADINGS), "-" * width]
    for row in rows:
        number = numbers.setdefault(row["definition"], len(numbers) + 1)
        because = f": {row['because']}" if row["because"] else ""
        cells = {"number": str(number), "quantity": row["quantity"], "of": row["of"],
                 "published": f"{as_printed(row['published'])} ± {as_printed(row['tolerance'])}",
                 "ours": _ours(row), "verdict": row["verdict"] + because}
        lines += [_line(cells), ""]
    lines.append("definitions:")
    for definition, number in numbers.items():
        lines.append(textwrap.fill(definition, width, initial_indent=f"{number:<5}", subsequent_indent=" " * 5))
    return "\n".join(lines)


def _line(cells: dict[str, str]) -> str:
    """A line of the table. A cell that is too long continues on further lines."""
    wrapped = {key: textwrap.wrap(cells[key], width) or [""] for key, width in WIDTHS.items()}
    return "\n".join("  ".join((wrapped[key][n] if n < len(wrapped[key]) else "").ljust(width)
                               for key, width in WIDTHS.items()).rstrip()
                     for n in range(max(map(len, wrapped.values()))))


def _ours(row: dict[str, Any]) -> str:
    if row["ours"] is None:
        return "–"
    if row["low"] is None:
        return as_printed(row["ours"]) + (" (one seed)" if row["seeds"] == 1 else "")
    return f"{as_printed(row['ours'])} ({as_printed(row['low'])} to {as_printed(row['high'])})"
