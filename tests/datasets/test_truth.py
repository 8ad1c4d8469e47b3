"""Truth from which nothing can be learned: each kind is found, and is silent beside truth that is all right."""

import re

import pytest

from seglib import tasks
from seglib.datasets.truth import DEGENERATE, TruthSurvey, judge

CLASSES = ["background", "cat", "dog"]


def survey(task: str = "multiclass", classes: list[str] = CLASSES, **pixels: list[int]) -> TruthSurvey:
    """One picture per split: the pixels of each class, then those that are ignored."""
    found = TruthSurvey(tasks.get(task), classes, ["train", "val", "test"])
    for split in ("train", "val", "test"):
        *of_classes, ignored = pixels.get(split, [10] * len(classes) + [1])
        found.add(split, f"{split}.png", of_classes, sum(of_classes), ignored, {})
    return found


def keys(found: TruthSurvey) -> list[str]:
    return [fault.key for fault in found.faults()]


def test_sound_truth_has_no_fault():
    found = survey()
    found.add_tally({"drawn": 5, "dangling": 1, "crowd": 1})
    assert keys(found) == []


@pytest.mark.parametrize(("found", "key", "said"), [
    (survey(train=[5, 5, 0, 3]), "absent_class", "the class dog never occurs in train"),
    (survey(train=[5, 0, 0, 3]), "absent_class", "the classes cat, dog never occur in train"),
    (survey(test=[5, 5, 0, 3]), "unscored_class", "a mean there is over 2 of 3 classes"),
    (survey(train=[0, 0, 0, 9]), "ignored_masks", "all pixels of train are ignored"),
    (survey("multilabel", val=[0, 0, 0, 0]), "ignored_masks", "all pixels of val"),
    (survey(classes=["thing"]), "single_class", r"classes: \[background, thing\]"),
])
def test_each_kind_is_found_with_the_keys_that_mend_and_allow_it(found: TruthSurvey, key: str, said: str):
    (fault,) = found.faults()
    assert fault.key == key and key in DEGENERATE
    assert re.search(said, fault.text) and fault.refusal.endswith(f"set datasets.*.allow: [{key}]")
    assert judge([fault], [key]) == [] and judge([fault], []) == [fault]


def test_a_picture_without_any_class_is_empty():
    found = TruthSurvey(tasks.get("multilabel"), ["cat"], ["train"])
    found.add("train", "a", [0], 100, 0, {})
    assert keys(found) == ["empty_masks"]
    found.add("train", "b", [1], 99, 0, {})
    assert keys(found) == []


def test_annotations_that_mostly_dangle_and_crowds_alone():
    found = survey()
    found.add_tally({"dangling": 1}, "annotations.json annotation 7")
    found.add_tally({"other": 9})
    (fault,) = found.faults()
    assert fault.key == "dangling" and "1 of 1 annotations" in fault.text and "annotation 7" in fault.text
    found = survey()
    found.add_tally({"undrawable": 3, "drawn": 2})
    (fault,) = found.faults()
    assert fault.key == "undrawable" and "3 of 5 annotations cannot be drawn" in fault.text
    found = survey()
    found.add_tally({"crowd": 4})
    (fault,) = found.faults()
    assert fault.key == "only_crowds" and "crowds: objects" in fault.text


def test_one_group_alone_has_no_interval():
    found = TruthSurvey(tasks.get("multilabel"), ["cat"], ["train", "val", "test"])
    for split, unit in (("train", "a"), ("val", "b"), ("val", "c"), ("test", "d"), ("test", "d")):
        found.add(split, split, [1], 2, 0, {}, unit)
    (fault,) = found.faults()
    assert fault.key == "one_group" and "test has one group, d" in fault.text


def test_palettes_that_differ():
    found = survey()
    found.add("train", "a", [1, 1, 1], 3, 0, {0: "#000000", 1: "#ff0000"})
    found.add("train", "b", [1, 1, 1], 3, 0, {0: "#000000", 2: "#00ff00"})
    assert keys(found) == []
    found.add("train", "c", [1, 1, 1], 3, 0, {1: "#00ff00"})
    (fault,) = found.faults()
    assert fault.key == "palettes" and "1 is #ff0000 in the mask of a, #00ff00 in that of c" in fault.text
