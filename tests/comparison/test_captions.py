"""Captions of predicted masks, against scikit-learn and by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from seglib.comparison.captions import Caption, caption, mask_caption
from seglib.datasets.store import Split
from seglib.metrics.cases import Cases
from tests.comparison.conftest import Compared


def test_the_iou_of_a_mask_is_scikit_learns_over_what_counts(mixed: Compared):
    truth = np.asarray(Split.open(Path("data/prepared/shapes"), "test").masks)
    for result in (mixed.variant("convnet ce").results[0], mixed.variant("frequency").results[0]):
        predicted = np.load(result.files.predictions)
        for i in range(5):
            pairs = [((truth[i] == k)[:, 1:].ravel(), (predicted[i] == k)[:, 1:].ravel()) for k in range(4)]
            expected = np.mean([jaccard_score(t, p) for t, p in pairs if t.any() or p.any()])
            found = mask_caption(predicted[i], truth[i], mixed.info)
            assert found.iou == pytest.approx(expected)
            assert found == caption(result.cases["test"], i, mixed.info.classes)


def cases_of(counts: dict[str, tuple[int, int, int]]) -> Cases:
    """TP, FP, FN of each class of one picture."""
    columns = np.array(list(counts.values()), float).T[:, None]
    return Cases(dict(zip(("tp", "fp", "fn"), columns, strict=True)))


def of(counts: dict[str, tuple[int, int, int]]) -> Caption:
    return caption(cases_of(counts), 0, list(counts))


def test_five_pixels_of_a_class_that_is_not_there_are_told_beside_the_mean():
    found = of({"disk": (980, 10, 10), "box": (990, 5, 5), "star": (0, 5, 0), "oval": (0, 0, 0)})
    assert found.iou == pytest.approx((0.98 + 0.99 + 0) / 3)
    assert found.classes == found.brief == ["disk 0.98", "box 0.99", "star: not there, 5 pixels predicted"]
    assert str(found) == "IoU 0.66\ndisk 0.98\nbox 0.99\nstar: not there, 5 pixels predicted"


def test_a_class_that_is_missed_differs_from_one_that_is_not_there():
    found = of({"disk": (0, 0, 7), "box": (0, 1, 0)})
    assert found.brief == ["disk 0.00", "box: not there, 1 pixel predicted"]


def test_of_many_classes_the_lowest_two_are_named():
    counts = {f"class {k}": (90 - k, 10 + k, 0) for k in range(4)}
    assert of(counts).brief == of(counts).classes
    found = of(counts | {"star": (0, 5, 0), "sky": (0, 0, 9), "moon": (0, 8, 0), "sun": (0, 0, 0)})
    assert found.brief == ["the lowest of 7 classes:", "sky 0.00", "moon: not there, 8 pixels predicted"]
    assert [text.split(":")[0] for text in found.classes] == [
        "class 0 0.90", "class 1 0.89", "class 2 0.88", "class 3 0.87", "star", "sky 0.00", "moon"]


def test_the_mean_says_all_of_the_only_class():
    assert str(of({"pet": (3, 1, 0)})) == "IoU 0.75"
    assert str(of({"pet": (0, 1234, 0)})) == "IoU 0.00\npet: not there, 1,234 pixels predicted"
    assert str(of({"pet": (0, 0, 0), "dog": (0, 0, 0)})) == "nothing there"


@given(st.lists(st.tuples(*[st.integers(0, 50)] * 3), min_size=1, max_size=9))
def test_every_class_that_has_a_part_in_the_mean_is_told_and_no_other(counts: list[tuple[int, int, int]]):
    found = of({f"c{k}": count for k, count in enumerate(counts)})
    told = {int(text[1:].split(":")[0].split(" ")[0]) for text in found.classes}
    assert told == {k for k, count in enumerate(counts) if any(count)}
    assert len(found.brief) <= 4
    if told:
        ious = [tp / (tp + fp + fn) for tp, fp, fn in (counts[k] for k in sorted(told))]
        assert found.iou == pytest.approx(np.mean(ious))
