"""Four pages whose truth is known, each as text: what a reader sees of a study, held word for word.

The masks are the truth with a share of their pixels turned over. The share is drawn per training, so that seeds differ.
Everything behind the masks is real: the stages evaluate, predict, compare and report. After a change that is meant,
write the texts again with `SEGLIB_WRITE_GOLDEN=1 pytest tests/report/test_golden.py`, and read them: a page must not
say more than its truth.
"""

import os
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from seglib.configs import LossConfig
from seglib.losses import absent_costs
from stages import compare, report
from tests.comparison import synthetic
from tests.conftest import ROOT, prepare_config, write_config

GOLDEN = Path(__file__).parent / "golden"
# The share of wrong pixels of each loss, and how much of it varies between seeds.
PAGES = {
    "one seed": ({"mse": 0.05, "dice": 0.08}, 1),  # MSE is better, but one seed cannot show that
    "two seeds": ({"mse": 0.05, "dice": 0.08}, 2),  # the same, and two cannot either
    "five equal variants": (dict.fromkeys(("mse", "dice", "mse_dice", "bce", "mse_dice20"), 0.08), 5),  # none is better
    "a clear winner": ({"mse": 0.03, "dice": 0.09, "mse_dice": 0.15}, 5),
}
BETWEEN_SEEDS = 0.25  # the standard deviation, as a part of the share
TERMS = {"mse": {"mse": 1}, "dice": {"dice": 1}, "mse_dice": {"mse": 1, "dice": 1}, "bce": {"bce": 1},
         "mse_dice20": {"mse": 1, "dice": 20}}
SKIPPED = {"script", "style", "svg", "select", "form", "fieldset", "details", "nav"}
BREAKS = {"p", "h2", "h3", "h4", "li", "tr", "caption", "figcaption", "summary", "section"}


class VisibleText(HTMLParser):
    """The text of the header and of the sections about datasets, but for what is folded.

    There is one line per block. The cells of a row have " | " between them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines, self.line, self.open, self.inside = [], "", [], False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("small", "br"):
            self.line += " "
        if tag in ("br", "img", "input", "meta", "link", "wbr", "hr", "col"):
            return
        given = dict(attributes)
        self.open.append((tag, tag in SKIPPED or "hidden" in given or "needs-js" in (given.get("class") or "").split()))
        self.inside |= tag == "header" or "dataset" in (given.get("class") or "").split()
        if tag in BREAKS:
            self._end_line()
        elif tag in ("td", "th") and self.line:
            self.line += " | "

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass
        if tag in BREAKS:
            self._end_line()
        self.inside &= any(name in ("header", "section") for name, _ in self.open)

    def handle_data(self, data: str) -> None:
        if self.inside and not any(skipped for _, skipped in self.open):
            self.line += data

    def _end_line(self) -> None:
        text = " ".join(self.line.split())
        if text.strip("| "):
            self.lines.append(text)
        self.line = ""


def page_of(folder: Path, shares: dict[str, float], seeds: int) -> str:
    """Make the study in a folder of its own, and return the text of its page."""
    random = np.random.default_rng(2)
    pictures = {"train": 4, "val": 12, "test": 60}
    truth = {split: synthetic.objects(random, count) for split, count in pictures.items()}
    synthetic.write_dataset(truth)
    for loss, share in shares.items():
        for seed in range(1, seeds + 1):
            wrong = share * max(0.1, 1 + BETWEEN_SEEDS * random.normal())
            logits = {split: synthetic.logits_of(random, synthetic.spoiled(random, planes, wrong))
                      for split, planes in truth.items()}
            curve = np.array([5.0, 4, 3, 2.5, 2.2]) * random.uniform(0.9, 1.1, 5)
            history = synthetic.history_of(curve, **dict.fromkeys(TERMS[loss], 1.0))
            synthetic.write_variant(f"unet-{loss}-{seed}", logits, terms=TERMS[loss], history=history,
                                    train={"epochs": 1, "targets": "unit"})
    nothing = {split: np.full(planes.shape, -1.0, np.float32) for split, planes in truth.items()}
    synthetic.write_predictors({"background": nothing}, baselines=["background"])
    prepare = prepare_config({"kind": "shapes", "border": "ignore", "image_size": 14})
    options = {"dice_reduction": "image"}
    costs = {loss: absent_costs(LossConfig(terms=TERMS[loss], options=options)) for loss in shares}
    write_config(Path("conf/shapes.compare.json"), {
        "pictures": 3, "gallery": 3, "margin": 0.01, "tolerance": 1, "boundary_band": None, "failed_below": None,
        "absent_costs": costs, "coursework": True, "generated": True, "prepare": prepare.content()})
    write_config(Path("conf/report.json"), {"datasets": ["shapes"]})
    for name in ("claims.yaml", "published.yaml"):
        Path(name).write_text((ROOT / name).read_text())
    compare.main("shapes")
    report.main()
    parser = VisibleText()
    parser.feed(Path("reports/index.html").read_text())
    versions = parser.lines.index("Where the results were made")  # of packages: they are not the same everywhere
    return "\n".join(parser.lines[:versions]) + "\n"


@pytest.mark.parametrize("title", PAGES)
def test_the_page_says_what_its_data_allow(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found, golden = page_of(tmp_path, *PAGES[title]), GOLDEN / f"{title.replace(' ', '_')}.txt"
    if os.environ.get("SEGLIB_WRITE_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize(("title", "never"), [
    ("one seed", ("segments best:", "better than", "equivalent to", "● better", "= equivalent")),
    ("two seeds", ("segments best:", "better than", "equivalent to", "● better", "= equivalent")),
    ("five equal variants", ("segments best:", "It is better than", "● better"))])
def test_no_golden_text_holds_what_its_data_cannot_say(title: str, never: tuple[str, ...]):
    """So that texts that are written again cannot bring it in."""
    text = (GOLDEN / f"{title.replace(' ', '_')}.txt").read_text()
    assert [words for words in never if words in text] == []


def test_the_clear_winner_is_named():
    assert "unet mse segments best:" in (GOLDEN / "a_clear_winner.txt").read_text()
