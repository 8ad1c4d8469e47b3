"""With fewer than three seeds the page shows figures and seeds, but calls nothing best, better or supported."""

import html
import re
from pathlib import Path
from typing import Any

import pytest

from seglib.report import tables, views
from seglib.report.answer import answer, would_show
from seglib.report.builder import build
from seglib.report.coursework import coursework
from tests.report.synthetic import Study, write

TWO = (1234, 1235)
# Phrases in which "best" means something else: the title, epochs, pictures, and the lack of seeds.
OF_OTHER_THINGS = ("Which loss, on which architecture, segments best", "name a best variant", "best val IoU",
                   "the best, the middle and the worst", "all best median worst", "the test IoU of the best baseline")
FIRST, LAST = "munet mse_dice20", "munet dice"  # by their means


@pytest.fixture
def compared(tmp_path: Path) -> Any:
    return lambda **study: tables.read(write(Study(pictures=3, **study), tmp_path))


@pytest.fixture
def built(tmp_path: Path) -> Any:
    """The page of one study, without its style and its last two sections, which define words and name the origin."""
    def make(**study: Any) -> str:
        write(Study(**study), tmp_path / "comparisons")
        (tmp_path / "reports").mkdir()
        build(["shapes"], tmp_path / "comparisons", tmp_path / "reports")
        page = (tmp_path / "reports/index.html").read_text()
        return re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).partition('<section id="definitions">')[0]
    return make


def text(sentences: list[Any]) -> str:
    return " ".join(sentence.striptags() for sentence in sentences)


def plain(markup: str) -> str:
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", markup).split()))


def parts(page: str, pattern: str) -> list[str]:
    """The text of each element that the pattern's group matches."""
    return [plain(found) for found in re.findall(pattern, page, re.DOTALL)]


def ranks(page: str) -> list[str]:
    return parts(page, r'<tr data-split="test"><td class="rank"[^>]*>(.*?)</td>')


def verdicts(page: str) -> list[str]:
    """Of pairs, then of claims."""
    return parts(page, r'<span class="verdict">(.*?)</span>') + parts(page, r'<p class="badge [^"]*">(.*?)</p>')


@pytest.mark.parametrize(("seeds", "lack", "shown"), [
    ((1234,), "1 was trained", "0.850 with one seed."), (TWO, "2 were trained", "0.850 (seeds: 0.845, 0.855).")])
def test_a_page_of_too_few_seeds_decides_nothing(built: Any, seeds: tuple[int, ...], lack: str, shown: str):
    page = built(seeds=seeds)
    answered, = parts(page, r'<div class="answer">(.*?)</div>')
    assert f"There are too few seeds to name a best variant: {lack}, and at least 3 are needed." in answered
    assert f"{FIRST} has the highest mean test IoU, {shown}" in answered
    assert answered.count("Verdicts need at least 3 seeds of each variant: add them in params.yaml") == 1
    assert answered.count("best") == 1 and "better" not in answered
    assert ranks(page) == ["–"] * 4
    assert set(verdicts(page)) == {"◇ too few seeds At least 3 seeds are needed.", "… too few seeds", "○ not run"}
    captions = parts(page, r"<caption>(.*?)</caption>")
    assert f"There are too few seeds to rank ({len(seeds)}; 3 are needed)" in captions[0]
    assert "A rank is" not in captions[0]

    said = plain(re.sub(r"<figcaption>.*?</figcaption>", "", page, flags=re.DOTALL))  # these explain the marks
    decided = r"It is better|is equivalent|Whether it|supported|contradicted|A difference of|significant"
    assert not re.findall(decided, said, re.IGNORECASE)
    for phrase in OF_OTHER_THINGS:
        assert phrase in said
        said = said.replace(phrase, "")
    assert not re.findall(r".*\bbest\b.*", said, re.IGNORECASE)


def test_the_same_page_of_three_seeds_decides(built: Any):
    page = built()
    assert ranks(page) == ["1 to 2", "1 to 2", "3", "4"]
    assert {"● better", "✔ supported", "✘ contradicted"} < set(verdicts(page))
    assert not [verdict for verdict in verdicts(page) if "few" in verdict]
    assert "A rank is" in page and "oo few seeds" not in plain(page)
    assert "sd over seeds" in page and "by seed" not in page


def test_the_ranking_shows_each_seed_if_there_are_too_few(built: Any):
    page = built(seeds=TWO)
    assert "sd over seeds" not in page
    assert '<td class="n">0.845<br>0.855</td><td class="n">2</td>' in page
    assert '<td class="n">0.855<br>0.865</td>' in page  # on val


def test_a_few_variants_with_too_few_seeds_leave_the_others_decided(built: Any):
    page = built(one_seed=(FIRST,), frequency=True)
    assert ranks(page) == ["–", "1 to 2", "1 to 2", "3", "4"]
    assert "– means too few seeds to rank (1; 3 are needed)" in plain(page)
    pairs = parts(page, r'<span class="verdict">(.*?)</span>')[:10]
    assert sum(verdict.startswith("◇ too few seeds") for verdict in pairs) == 4 and pairs.count("● better") == 6
    assert "10 pairs on test IoU: 6 better, 0 equivalent, 0 unknown. 4 of 10 pairs have too few seeds" in plain(page)


def test_of_several_with_too_few_seeds_the_answer_names_them(compared: Any):
    said = text(answer(compared(one_seed=(FIRST,))))
    assert said.startswith(f"There are too few seeds to name a best variant: {FIRST} has fewer than 3. {FIRST} has the "
                           "highest mean test IoU, 0.850 with one seed. munet mse_dice has the highest mean of the 3 "
                           "variants with enough seeds: test IoU 0.820 (95 % interval 0.808 to 0.832 for other seeds "
                           "and other pictures). It is better than the next, munet mse: ")
    assert "segments best" not in said


def test_many_with_too_few_seeds_are_counted(compared: Any):
    losses = Study.losses
    few = tuple(f"{model} {loss}" for model in ("a", "b") for loss in losses[:3])
    said = text(answer(compared(models=("a", "b"), one_seed=few)))
    assert "a best variant: 6 of 8 variants have fewer than 3." in said
    assert "a dice has the highest mean of the 2 variants with enough seeds" in said


def test_a_baseline_without_seeds_beside_too_few_is_not_ranked(built: Any):
    page = built(seeds=TWO, frequency=True)
    assert ranks(page) == ["–"] * 5
    answered, = parts(page, r'<div class="answer">(.*?)</div>')
    assert "2 were trained" in answered and "enough seeds" not in answered


def test_the_first_with_enough_seeds_is_not_called_best_over_one_with_too_few(compared: Any):
    said = text(answer(compared(one_seed=(LAST,), decided=True)))
    assert "segments best" not in said and f"{LAST} has fewer than 3" in said
    said = text(answer(compared(losses=("mse_dice20", "dice"), dataset="pair", one_seed=(LAST,))))
    assert said == (f"There are too few seeds to name a best variant: {LAST} has fewer than 3. {FIRST} has the highest "
                    "mean test IoU, 0.850 (95 % interval 0.840 to 0.860 for other seeds and other pictures). Verdicts "
                    "need at least 3 seeds of each variant: add them in params.yaml and run again. Existing trainings "
                    "are not repeated.")


def test_no_number_of_pictures_helps_too_few_seeds(compared: Any):
    comparison = compared(seeds=TWO)
    pair = {"verdict": "too few seeds"}
    assert would_show(pair, comparison) == "At least 3 seeds are needed."
    assert {pair["would_show"] for pair in views.forest(comparison)["first"]} == {"At least 3 seeds are needed."}


def test_a_sweep_of_too_few_seeds_decides_nothing(compared: Any):
    said = text(coursework(compared(seeds=TWO))["dice_scale"])
    assert "k = 20 has the highest mean of the mixtures. Too few seeds to compare it with MSE alone, k = 1 or Dice " \
           "alone." in said
    assert "better" not in said and "unknown" not in said
    said = text(coursework(compared(dataset="mixed", one_seed=(LAST,)))["dice_scale"])
    assert "It is better than MSE alone. Whether it is better than k = 1 is unknown. Too few seeds to compare it " \
           "with Dice alone." in said


def test_pictures_of_too_few_seeds_tell_nothing_apart(compared: Any):
    said = text(coursework(compared(seeds=TWO))["seen"])
    assert said == "The losses on munet are not compared because there are too few seeds."
    said = text(coursework(compared(dataset="mixed", one_seed=(LAST,)))["seen"])
    assert said == f"The losses on munet are not compared because there are too few seeds of {LAST}."


def test_too_few_seeds_do_not_set_loss_against_score(compared: Any):
    said = text(coursework(compared(seeds=TWO))["falling_loss"])
    assert "There are too few seeds to decide whether a variant with a lower final loss has a lower score." in said
    assert "is better" not in said and "ends with a higher value" not in said


def dots(page: str, drawing: str) -> list[int]:
    """The number of dots in each drawing of a class."""
    return [svg.count('class="seed"') for svg in re.findall(rf'<svg class="{drawing}.*?</svg>', page, re.DOTALL)]


@pytest.mark.parametrize("seeds", [(1,), TWO, (1, 2, 3, 4, 5)])
def test_every_score_shows_a_dot_for_each_seed(built: Any, seeds: tuple[int, ...]):
    """Four variants have seeds, the baseline has none."""
    page = built(seeds=seeds, frequency=True, baseline=True, displayed=True)
    assert set(dots(page, "dots")) == {len(seeds)}
    assert set(dots(page, "mark with-seeds")) == {len(seeds)}
    cells = re.findall(r'<td class="n" data-value="[0-9.]+"[^>]*>.*?</td>', page, re.DOTALL)
    intervals = [cell for cell in cells if "<small>" in cell and " – " in cell]
    assert intervals and sum('<svg class="dots"' in cell for cell in intervals) == len(intervals) * 4 // 5
    assert "<title>seed" in page and 'role="img"' in page


def test_the_dots_of_a_seed_stand_for_its_score(built: Any):
    page = built(seeds=TWO)
    svg = re.search(r'<svg class="mark with-seeds"(.*?)</svg>', page, re.DOTALL)[1]
    assert "<title>seeds: 0.845, 0.855</title>" in svg
    left, right = (float(x) for x in re.findall(r'class="seed" cx="([0-9.]+)%"', svg))
    mean = float(re.search(r'<circle cx="([0-9.]+)%"', svg)[1])
    assert left < right and mean == pytest.approx((left + right) / 2, abs=0.01)


def test_a_page_without_seeds_has_no_dots(built: Any):
    page = built(losses=(), frequency=True)
    assert dots(page, "dots") == dots(page, "mark with-seeds") == [] and "a dot for each seed" not in plain(page)


def test_the_column_of_seeds_counts_those_that_failed(built: Any):
    page = built(failed={FIRST: 2})
    assert page.count(">3, 2 failed</td>") == 2  # test and val
    assert ("A training has failed if its test IoU is not above 0.031, the test IoU of the best baseline (frequency)."
            ) in plain(page)


def test_without_a_floor_none_is_stated(built: Any):
    page = plain(built(floor=None))
    assert "has failed" not in page and "failed" not in page


def test_pairs_say_what_their_intervals_are_about(built: Any):
    page = built(frequency=True, one_seed=(FIRST,))
    figure = re.search(r'<figure class="pairs">.*?</figure>', page, re.DOTALL)[0]
    assert "intervals. Better" in plain(figure)  # they are about different things, so each pair says about which
    assert plain(figure).count("these weights, other pictures") == 4
    assert plain(figure).count("other seeds and other pictures") == 6
