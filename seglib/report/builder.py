"""The page and all beside it, from `comparisons/`, by jinja2; every text that comes from data is escaped."""

import itertools
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from PIL import Image

from seglib.report import falling_loss, prose, tables, views, words
from seglib.report.answer import answer
from seglib.report.scripts import dataset_script
from seglib.report.tables import Comparison
from seglib.workspace import revision

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "gallery.js", "masks.js")
VERDICTS = ("supported", "contradicted", "undecided", "not run")  # as claims are listed


def build(datasets: list[str], comparisons: Path, out: Path) -> dict[str, Any]:
    """Write the page, its scripts and its pictures into `out`; gives the headline scores, for metrics.json.

    The headline is, for each dataset and variant, the mean over seeds of test IoU and Dice, and IoU's interval.
    """
    read = [tables.read(comparisons / dataset) for dataset in datasets]
    sections = [_section(comparison, out, f"d{n}") for n, comparison in enumerate(read, 1)]
    page = _environment().get_template("page.html").render(
        sections=sections, definitions=views.definitions(read), origin=origin(), splits=views.SPLITS, style=_style())
    (out / "index.html").write_text(page, encoding="utf-8")
    for name in SCRIPTS:
        shutil.copyfile(HERE / name, out / name)
    return {comparison.dataset: _headline(comparison) for comparison in read}


def _style() -> Markup:
    return Markup("".join((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "gallery.css")))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(loader=jinja2.PackageLoader("seglib.report"), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {name: getattr(words, name)
                            for name in ("number", "signed", "brief", "probability", "interval", "listed", "name")}
    # Figures and tables are numbered over the whole page, in reading order.
    environment.globals |= {"next_table": itertools.count(1).__next__, "next_figure": itertools.count(1).__next__}
    return environment


def _section(comparison: Comparison, out: Path, anchor: str) -> dict[str, Any]:
    """What the page says of one dataset; puts the dataset's pictures and its script in place."""
    folder = quote(comparison.dataset)
    confusion = views.confusion(comparison)
    shutil.copytree(comparison.folder / "gallery", out / "gallery" / comparison.dataset,
                    ignore=shutil.ignore_patterns("*.json"))
    (out / "data").mkdir(exist_ok=True)
    (out / "data" / f"{comparison.dataset}.js").write_text(
        dataset_script(comparison, confusion, f"gallery/{folder}"), encoding="utf-8")
    return {
        "id": anchor, "dataset": comparison.dataset, "summary": comparison.summary, "variants": comparison.variants,
        "images": {split: int(comparison.scores.query("split == @split")["images"].max()) for split in views.SPLITS},
        "many_seeds": comparison.many_seeds, "answer": answer(comparison),
        "ranking": views.ranking(comparison), "rest": views.score_table(comparison, views.REST),
        "seen": views.score_table(comparison, views.SEEN), "forest": views.forest(comparison),
        "classes": views.classes(comparison), "groups": views.groups(comparison), "confusion": confusion,
        "dice_names": views.dice_names(comparison),
        "claims": sorted(comparison.claims, key=lambda claim: VERDICTS.index(claim["verdict"])),
        "verdicts": [verdict for verdict in VERDICTS if verdict in {claim["verdict"] for claim in comparison.claims}],
        "figures": _figures(comparison, out), "gallery": comparison.gallery, "script": f"data/{folder}.js",
        "course": _course(comparison), "configurations": views.configurations(comparison),
    }


def _course(comparison: Comparison) -> dict[str, Any]:
    return {"scaling": prose.dice_scaling(comparison), "gradients": prose.gradients(comparison),
            "windows": prose.WINDOWS, "variation": prose.variation(comparison), "seen": prose.seen(comparison),
            "seen_sentences": prose.seen_sentences(comparison), "falling_loss": falling_loss.falling_loss(comparison),
            "dice_names": prose.dice_names(comparison)}


def _figures(comparison: Comparison, out: Path) -> dict[str, dict[str, Any]]:
    """Copy the figures that compare drew; gives each its address and its size, so that the page never jumps."""
    target = out / "figures" / comparison.dataset
    shutil.copytree(comparison.folder / "figures", target)
    figures = {}
    for path in sorted(target.glob("*.png")):
        with Image.open(path) as image:
            width, height = image.size
        figures[path.stem] = {"src": f"figures/{quote(comparison.dataset)}/{quote(path.name)}", "width": width,
                              "height": height}
    return figures


def _headline(comparison: Comparison) -> dict[str, dict[str, float | None]]:
    headline = {}
    for variant in comparison.variants:
        iou, dice = comparison.score(variant, "iou_dataset"), comparison.score(variant, "dice_dataset")
        headline[variant.replace(" = ", "=").replace(" ", "-")] = {
            "iou": iou["mean"], "dice": dice["mean"], "iou_low": iou["low"], "iou_high": iou["high"]}
    return headline


def origin() -> dict[str, str]:
    """Where and from what the page was made: the only part of a study that may differ on a rerun."""
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numpy", "pillow", "pycocotools"))
    return {"git revision": revision() or "not a git repository",
            "experiment": os.environ.get("DVC_EXP_NAME") or "workspace",
            "machine": f"{platform.platform()}, {os.cpu_count()} cores",
            "Python": platform.python_version(), "packages": packages}
