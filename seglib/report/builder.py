"""Writes the page and its files from `comparisons/` with jinja2. Every text that comes from data is escaped."""

import dataclasses
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from PIL import Image

from seglib.pipeline.workspace import revision
from seglib.report import made, tables, views, words
from seglib.report.answer import answer
from seglib.report.conventions import conventions
from seglib.report.coursework import coursework
from seglib.report.losses import absent_classes
from seglib.report.scripts import dataset_script
from seglib.report.tables import Comparison

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "gallery.js", "masks.js")
VERDICTS = ("supported", "contradicted", "undecided", "too few seeds", "not run")  # as claims are listed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """The comparison of one section, and the paths of its files relative to the page, with "/" between their parts."""

    name: str
    comparison: Comparison
    figures: str
    gallery: str
    script: str  # to be written


def build(datasets: list[str], comparisons: Path, out: Path) -> dict[str, Any]:
    """Write the page, its scripts and its pictures into `out`. Return the headline scores for metrics.json.

    The headline scores of a dataset and variant are the means over seeds of test IoU and Dice, and IoU's interval.
    """
    for dataset, kind in itertools.product(datasets, ("figures", "gallery")):
        shutil.copytree(comparisons / dataset / kind, out / kind / dataset, ignore=shutil.ignore_patterns("*.json"))
    sources = [Source(name=dataset, comparison=tables.read(comparisons / dataset), figures=f"figures/{dataset}",
                      gallery=f"gallery/{dataset}", script=f"data/{dataset}.js") for dataset in datasets]
    _write_page(sources, out, command="make repro")
    return {source.name: _headline(source.comparison) for source in sources}


def build_everything(folder: Path, *, command: str) -> dict[str, Any]:
    """Write one page about many studies, folder/index.html. Return the headline scores by study and dataset.

    `folder` holds a copy of each comparisons/<dataset> as <study>/<dataset>; each gets a section. The page shows their
    figures and galleries from where they are. Raises ValueError if there is no comparison.
    """
    found = sorted(path.parents[1] for path in folder.glob("*/*/tables/summary.json"))
    if not found:
        raise ValueError(f"{folder} holds no comparison: expected {folder}/<study>/<dataset>/tables/summary.json")
    sources, headlines = [], {}
    for path in found:
        study, dataset = path.parts[-2:]
        place = f"{study}/{dataset}"
        sources.append(Source(name=study if study == dataset else f"{study} ({dataset})", comparison=tables.read(path),
                              figures=f"{place}/figures", gallery=f"{place}/gallery", script=f"{place}/page.js"))
        headlines.setdefault(study, {})[dataset] = _headline(sources[-1].comparison)
    _write_page(sources, folder, command=command)
    return headlines


def _write_page(sources: Sequence[Source], out: Path, *, command: str) -> None:
    sections = [_section(source, out, f"d{n}") for n, source in enumerate(sources, 1)]
    page = _environment().get_template("page.html").render(
        sections=sections, definitions=views.definitions(source.comparison for source in sources), origin=origin(),
        command=command, splits=views.SPLITS, style=_style())
    (out / "index.html").write_text(page, encoding="utf-8")
    for name in SCRIPTS:
        shutil.copyfile(HERE / name, out / name)


def _style() -> Markup:
    return Markup("".join((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "gallery.css")))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(loader=jinja2.PackageLoader("seglib.report"), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {name: getattr(words, name) for name in (
        "number", "signed", "brief", "as_printed", "probability", "interval", "listed", "name", "a_seed", "seeds_with",
        "trainings")}
    # Figures and tables are numbered over the whole page, in reading order.
    environment.globals |= {"next_table": itertools.count(1).__next__, "next_figure": itertools.count(1).__next__}
    return environment


def _section(source: Source, out: Path, anchor: str) -> dict[str, Any]:
    """What the page says about one comparison. Also writes its script."""
    comparison = source.comparison
    confusion, figures = views.confusion(comparison), _figures(source, out)
    script = out / source.script
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(dataset_script(source.name, comparison, confusion, quote(source.gallery)), encoding="utf-8")
    return {
        "id": anchor, "name": source.name, "dataset": comparison.dataset, "summary": comparison.summary,
        "variants": comparison.variants, "compared": comparison.compared, "exclusive": comparison.exclusive,
        "images": {split: int(comparison.scores.query("split == @split")["images"].max()) for split in views.SPLITS},
        "units": comparison.summary.get("units"),  # groups of each split, if pictures come in groups
        "many_seeds": comparison.many_seeds, "answer": answer(comparison),
        "ranking": views.ranking(comparison), "sizes": views.own_size(comparison),
        "rest": views.score_table(comparison, "rest"),
        "seen": views.score_table(comparison, "seen"), "forest": views.forest(comparison),
        "classes": views.classes(comparison), "groups": views.groups(comparison), "confusion": confusion,
        "dice_names": views.dice_names(comparison), "conventions": conventions(comparison),
        "claims": sorted(comparison.claims, key=lambda claim: VERDICTS.index(claim["verdict"])),
        "verdicts": [verdict for verdict in VERDICTS if verdict in {claim["verdict"] for claim in comparison.claims}],
        "published": comparison.published,
        "figures": figures, "trainings": views.trainings(comparison), "absent_classes": absent_classes(comparison),
        "snapshots": views.snapshots(comparison, figures), "gallery": comparison.gallery,
        "script": quote(source.script), "coursework": coursework(comparison),
        "munet": comparison.munet,
        "differences": made.differences(comparison), "ways": made.ways(comparison),
        "fingerprints": made.fingerprints(comparison),
        "left_out": views.left_out(comparison), "annotations": views.annotations(comparison),
        "allowed": comparison.summary["allowed"],
        "configurations": views.configurations(comparison),
    }


def _figures(source: Source, out: Path) -> dict[str, dict[str, Any]]:
    """The address and size of each figure that compare drew, by its stem. With its size known, the page never jumps."""
    figures = {}
    for path in sorted((out / source.figures).glob("*.png")):
        with Image.open(path) as image:
            width, height = image.size
        figures[path.stem] = {"src": quote(f"{source.figures}/{path.name}"), "width": width, "height": height}
    return figures


def _headline(comparison: Comparison) -> dict[str, dict[str, float | None]]:
    headline = {}
    for variant in comparison.variants:
        iou, dice = comparison.score(variant, "iou_dataset"), comparison.score(variant, "dice_dataset")
        headline[variant.replace(" = ", "=").replace(" ", "-")] = {
            "iou": iou["mean"], "dice": dice["mean"], "iou_low": iou["low"], "iou_high": iou["high"]}
    return headline


def origin() -> dict[str, str]:
    """The revision and the experiment that made the page. `made` says where the results were made."""
    return {"git revision": revision() or "not a git repository",
            "experiment": os.environ.get("DVC_EXP_NAME") or "workspace"}
