"""The page in headless Chromium, opened from disk as a reader would."""

import re
from pathlib import Path

import pytest

from tests.report.browser import Browser
from tests.report.conftest import EVIL

SHAPES = "document.querySelector('section[data-dataset=shapes]')"
COCO = "document.querySelector('section[data-dataset=coco]')"


def choose(browser: Browser, selector: str, value: str) -> None:
    """Pick an option, or a radio button's value, of the Shapes section as a person would: with its change event."""
    browser.run(f"""const found = {SHAPES}.querySelectorAll(arguments[0]);
        for (const part of found) {{
          if (part.type === "radio") {{ if (part.value === arguments[1]) part.click(); }}
          else {{ part.value = arguments[1]; part.dispatchEvent(new Event("change", {{bubbles: true}})); }}
        }}""", selector, value)


def column(browser: Browser, n: int) -> list[str]:
    """A column of the ranking, top down, of the rows that are shown."""
    return browser.run(f"""return [...{SHAPES}.querySelectorAll(".ranking tbody tr:not([hidden])")].map(
        row => row.cells[arguments[0]].textContent.trim())""", n)


def shown(browser: Browser) -> list[str]:
    """The captions of the tiles that are shown."""
    return browser.run(f"""return [...{SHAPES}.querySelectorAll(".tile")].filter(tile => tile.checkVisibility())
        .map(tile => tile.querySelector("figcaption").textContent)""")


def test_it_opens_without_a_word_on_the_console(browser: Browser):
    assert browser.run("return document.querySelectorAll('section.dataset').length") == 2
    assert browser.run("return document.querySelectorAll('section.dataset .tile').length") == 9 * 6 + 6 * 14
    assert browser.run("return performance.getEntriesByType('resource').every(entry => entry.name.startsWith('file:'))")


def test_a_click_on_a_header_sorts_and_says_so(browser: Browser):
    before = column(browser, 1)
    head = f"{SHAPES}.querySelector('.ranking th[data-column=\"1\"]')"
    browser.run(f"{head}.querySelector('button').click()")
    assert column(browser, 1) == sorted(before) != before
    assert browser.run(f"return {head}.getAttribute('aria-sort')") == "ascending"
    browser.run(f"{head}.querySelector('button').click()")
    assert column(browser, 1) == sorted(before, reverse=True)
    browser.run(f"{SHAPES}.querySelector('.ranking th[data-column=\"2\"] button').click()")  # IoU: the best first
    assert column(browser, 1) == before
    sorted_by = f"return [...{SHAPES}.querySelectorAll('.ranking [aria-sort]')].map(head => head.dataset.column)"
    assert browser.run(sorted_by) == ["2"]


def test_the_choice_of_a_split_changes_numbers_and_captions(browser: Browser):
    test = column(browser, 5)
    caption = f"return {SHAPES}.querySelector('.ranking caption').innerText"
    assert "500 test pictures" in browser.run(caption)
    choose(browser, ".splits input", "val")
    assert [round(float(now[:5]) - float(then[:5]), 3) for now, then in zip(column(browser, 5), test, strict=True)] \
        == [0.01] * 4
    assert "250 val pictures" in browser.run(caption) and "test pictures" not in browser.run(caption)


def test_another_score_by_class_and_back(browser: Browser):
    cell = f"return {SHAPES}.querySelector('.by-class td').innerText"
    before = browser.run(cell)
    choose(browser, ".class-score", "1")
    assert browser.run(cell) != before
    assert browser.run(f"return {SHAPES}.querySelector('.class-title').textContent") == "Dice"
    choose(browser, ".class-score", "0")
    assert browser.run(cell) == before


def test_the_confusion_of_another_variant(browser: Browser):
    cells = f"return [...{SHAPES}.querySelectorAll('.matrix[data-kind=objects] td')].map(cell => cell.innerText)"
    before = browser.run(cells)
    choose(browser, ".confusion-variant", "munet dice")
    assert browser.run(cells) != before
    assert browser.run(cells)[0].split() == ["90.8", "%", "840"]
    choose(browser, ".confusion-variant", "munet mse_dice20")
    assert browser.run(cells) == before


def test_claims_by_verdict(browser: Browser):
    claims = f"return [...{SHAPES}.querySelectorAll('.claims > li:not([hidden])')].map(claim => claim.dataset.verdict)"
    assert browser.run(claims) == ["supported", "contradicted", "undecided", "not run"]
    figures = f"return [...{SHAPES}.querySelectorAll('.claims > li:has(.parts)')].map(claim => claim.dataset.verdict)"
    assert browser.run(figures) == ["supported", "contradicted", "undecided"]  # what was not run has none
    choose(browser, ".verdicts input", "undecided")
    assert browser.run(claims) == ["undecided", "not run"]  # the filter leaves the folded list alone
    folded = f"return {SHAPES}.querySelector('details:has(.claims)').innerText"
    assert browser.run(folded) == "1 claim that this study did not run"


def test_the_gallery_filters_by_variant_place_and_class(browser: Browser):
    assert len(shown(browser)) == 6 * 6  # two pictures of each place, six tiles a picture
    browser.run(f"{SHAPES}.querySelector('[name=variant][value=\"munet dice\"]').click()")
    assert len(shown(browser)) == 6 * 5 and not any("munet dice" in caption for caption in shown(browser))
    browser.run(f"{SHAPES}.querySelector('.more').click()")
    assert len(shown(browser)) == 9 * 5
    choose(browser, "[name=place]", "worst")
    assert len(shown(browser)) == 3 * 5
    titles = f"return [...{SHAPES}.querySelectorAll('.shot:not([hidden]) h4')].map(title => title.textContent)"
    choose(browser, "[name=place]", "")
    choose(browser, ".gallery [name=class]", "4")
    assert browser.run(titles) and all("star" in title for title in browser.run(titles))


def test_a_caption_tells_the_classes_and_an_enlarged_picture_all_of_them(browser: Browser):
    tiles = browser.run(f"""return [...{COCO}.querySelectorAll(".tile figcaption")].filter(part => part.title)
        .map(part => [part.title.split("\\n"), [...part.querySelectorAll("small")].map(line => line.innerText)])""")
    assert len(tiles) == 6 * 12
    for told, lines in tiles:
        assert lines == told
    assert any("not there" in line for _, lines in tiles for line in lines)
    assert any(line.startswith(EVIL) for _, lines in tiles for line in lines)
    browser.run(f"{COCO}.querySelectorAll('.tile button')[2].click()")
    enlarged = browser.run("return document.querySelector('#viewer figcaption small').innerText")
    assert enlarged == " · ".join(tiles[0][0])


# The pixels of a tile's canvas, read from a copy. Reading is allowed, since no picture is ever drawn into a tile.
PIXELS = f"""const canvas = {SHAPES}.querySelectorAll(".tile canvas")[arguments[0]];
    canvas.scrollIntoView();
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {{willReadFrequently: true}});
    copy.drawImage(canvas, 0, 0);
    const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;"""


def colors(browser: Browser, tile: int) -> dict[str, int]:
    """How often each colour stands in a tile, once it is drawn."""
    return browser.wait_for(PIXELS + """const found = {};
        for (let i = 0; i < pixels.length; i += 4) {
          const color = String(pixels.slice(i, i + 3));
          if (pixels[i + 3]) found[color] = (found[color] ?? 0) + 1;
        }
        return found""", tile)


def test_tiles_are_drawn_and_the_error_map_differs_from_the_mask(browser: Browser):
    masks = colors(browser, 2)
    choose(browser, "[name=view]", "errors")
    browser.wait_for(f"return {SHAPES}.querySelectorAll('.tile .stack.dim').length")
    errors = colors(browser, 2)
    assert errors != masks
    assert errors["240,228,66"] > 20 and errors["213,94,0"] > 20  # there but not found; found but not there


def test_a_click_enlarges_arrows_go_on_and_escape_closes(browser: Browser):
    open_ = "return document.getElementById('viewer').open"
    caption = "return document.querySelector('#viewer figcaption').textContent"
    browser.run(f"{SHAPES}.querySelectorAll('.tile button')[2].click()")
    assert browser.run(open_)
    assert "munet mse_dice20" in browser.run(caption) and "seed 1234" in browser.run(caption)
    browser.press("ArrowRight")
    assert browser.run(caption).startswith("munet mse_dice,") and "test-00000" in browser.run(caption)
    browser.press("ArrowDown")
    assert browser.run(caption).startswith("munet mse_dice,") and "test-00001" in browser.run(caption)
    browser.press("ArrowUp")
    browser.press("ArrowLeft")
    assert "munet mse_dice20" in browser.run(caption)
    browser.press("Escape")
    assert not browser.run(open_)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_the_screen(browser: Browser, page: Path, width: int, dark: bool):
    browser.screen(width, 844, dark=dark)
    browser.open(page)
    browser.run("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 150) == dark


def test_names_from_data_run_nothing(browser: Browser):
    assert browser.run(f"return [...{COCO}.querySelectorAll('.by-class thead th')].map(head => head.innerText)")[2] \
        .startswith(EVIL)
    assert browser.run(f"return {COCO}.querySelectorAll('.by-class .muted').length") > 0
    assert browser.run("return document.querySelectorAll('body script').length") == 0


def pages_of(pdf: bytes) -> int:
    assert pdf.startswith(b"%PDF")
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_it_prints_what_is_folded_on_the_screen(browser: Browser):
    whole = pages_of(browser.pdf())
    assert browser.run("return document.querySelectorAll('details[open]').length") == 0  # folded again
    browser.run("document.querySelectorAll('details').forEach(part => part.remove())")
    assert pages_of(browser.pdf()) < whole


def test_it_reads_without_scripts(browser: Browser, page: Path):
    browser.screen(1280, 900, scripts=False)
    browser.open(page)
    visible = "return [...document.querySelectorAll(arguments[0])].filter(part => part.checkVisibility()).length"
    assert browser.run(visible, "table") >= 10
    assert browser.run(visible, ".needs-js") == 0
    assert browser.run(visible, ".instead img") == 2
    browser.screen(1280, 900)
