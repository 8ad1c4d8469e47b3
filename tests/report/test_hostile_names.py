"""Whatever data call themselves, the page has the elements and attributes it would have, and its scripts the same."""

import html.parser
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from seglib.figures import plots
from seglib.files import read_json, write_json
from seglib.report.builder import build
from tests.figures.test_plots import curves_of
from tests.report.synthetic import Study, write

HOSTILE = ["<script>alert(1)</script>", "</script><script>alert(1)//", "--><img src=x onerror=alert(1)>",
           "' onload='alert(1)", '" onmouseover="alert(1)" x="', "javascript:alert(1)", "`${alert(1)}`",
           "&lt;b&gt;&amp;", "$\\frac{$", "{{ 7 * 7 }}", "{% raw %}", "a,b;c\"d'e", "\u2028\u2029",
           "</style></title></textarea></svg>", "=cmd|' /C calc'!A0", "犬 😀"]
CLASSES = ("firstclass", "secondclass", "thirdclass")


def everywhere(folder: Path, names: dict[str, str]) -> None:
    """Put hostile names in the place of plain ones: as cells, values and keys of all that the page is made of."""
    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {changed(key): changed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [changed(inner) for inner in value]
        return names.get(value, value) if isinstance(value, str) else value
    for path in folder.rglob("*.json"):
        write_json(path, changed(read_json(path)))
    for path in folder.rglob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table.map(lambda cell: names.get(cell, cell)).to_csv(path, index=False, lineterminator="\n")


class Elements(html.parser.HTMLParser):
    """What a page consists of: each element with the names of its attributes, and where its links lead."""

    def __init__(self):
        super().__init__()
        self.found: Counter = Counter()
        self.scripts: list[str] = []
        self.addresses: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found[tag, tuple(sorted(name for name, _ in attributes))] += 1
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "action", "srcdoc")]
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


def page(folder: Path, names: dict[str, str]) -> tuple[Elements, dict[str, Any]]:
    """The page's elements and the data its script has, with these names in place of the plain ones."""
    write(Study(classes=CLASSES, absent=("thirdclass",), pictures=6, snapshots=True), folder / "comparisons")
    summary_path, claims_path, gallery_path = (folder / "comparisons/shapes" / name for name in (
        "tables/summary.json", "tables/claims.json", "gallery/gallery.json"))
    summary, claims, gallery = map(read_json, (summary_path, claims_path, gallery_path))
    summary["rejected"] = [{"split": "train", "what": "picture", "reason": "plainreason", "n": 3}]
    summary["selection"] = {"plainselection": {"pictures": 74, "selected": 23}}
    for config in summary["configs"].values():
        config["train"]["plainkey"] = "plainvalue"
    claims[0] |= {"claim": "plainclaim", "whose": "plainwhose", "source": "plainsource", "why": "plainwhy"}
    claims[0]["parts"][0]["text"] = "plainpart"
    gallery["pictures"][0]["id"] = "plainid"
    for path, content in ((summary_path, summary), (claims_path, claims), (gallery_path, gallery)):
        write_json(path, content)
    everywhere(folder / "comparisons", names)
    (folder / "reports").mkdir()
    build(["shapes"], folder / "comparisons", folder / "reports")
    elements = Elements()
    elements.feed((folder / "reports/index.html").read_text(encoding="utf-8"))
    script = (folder / "reports/data/shapes.js").read_text(encoding="utf-8")
    assert not set("<>&\u2028\u2029") & set(script.replace("window.seglibData", ""))
    return elements, json.loads(re.fullmatch(r"\(window\.seglibData .*?\)\[.*?\] = (.*);\n", script, re.DOTALL)[1])


PLACES = ("plainreason", "plainselection", "plainkey", "plainvalue", "plainclaim", "plainwhose", "plainsource",
          "plainwhy", "plainpart", "plainid", *CLASSES)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Elements:
    return page(tmp_path_factory.mktemp("plain"), {})[0]


@pytest.mark.parametrize("first", [0, 5, 11])
def test_names_change_no_element_no_attribute_and_no_script(tmp_path: Path, expected: Elements, first: int):
    names = {name: f"{HOSTILE[(first + n) % len(HOSTILE)]}{n}" for n, name in enumerate(PLACES)}
    found, data = page(tmp_path / "evil", names)
    assert found.found == expected.found
    assert found.scripts == expected.scripts and found.addresses == expected.addresses
    assert data["gallery"]["classes"] == [names[name] for name in CLASSES]
    assert names["plainid"] in {picture["id"] for picture in data["gallery"]["pictures"]}


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("where", ["legend", "titles"])
def test_figures_draw_any_name_as_it_is(tmp_path: Path, figures: list[Figure], where: str):
    """Matplotlib would read what stands between two dollars as mathematics."""
    curves = curves_of([(evil, loss) for evil in HOSTILE for loss in ("mse", "dice")], seeds=(1,))
    if where == "legend":
        names = HOSTILE
        plots.loss_curves(curves, tmp_path / "loss.png", value="loss", label="loss")
    else:
        names = [f"{evil} mse" for evil in HOSTILE]
        plots.best_and_worst(curves, dict.fromkeys(names, (1, 1)), tmp_path / "cases.png")
    figure, = figures
    is_mathematics = {text.get_text(): text.get_parse_math() for text in figure.findobj(Text)}
    assert {name: is_mathematics[name] for name in names} == dict.fromkeys(names, False)
