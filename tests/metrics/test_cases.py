"""Cases: counts at their picture and class, objects by their groups."""

import numpy as np
import pandas as pd
import pytest

from seglib.metrics.cases import COLUMNS, GROUPS, cases_of, size_edges

# image, class, area, covered, found, wrong, taken_for. Small: below 4 pixels; large: from 9.
OBJECTS = pd.DataFrame([
    ("a", 0, 3, 0, 3, 0, 0), ("a", 1, 10, 2, 5, 0, 1),
    ("b", 0, 6, 0, 0, 6, 1),
    ("c", 0, 9, 1, 0, 0, -1), ("c", 0, 4, 0, 1, 0, 0), ("c", 1, 2, 0, 2, 0, 1), ("c", 1, 20, 0, 1, 0, -1),
    ("c", 1, 8, 0, 8, 0, 1), ("c", 1, 3, 0, 0, 3, 0),
], columns=["image", "class", "area", "covered", "found", "wrong", "taken_for"])


def tables(objects: pd.DataFrame = OBJECTS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """counts.parquet and objects.parquet of pictures a to d with two classes, both there."""
    counts = pd.DataFrame([{"split": "test", "image": image, "class": name, **dict.fromkeys(COLUMNS, 1)}
                           for image in "abcd" for name in ("cat", "dog")])
    return counts, objects.assign(split="test")


@pytest.mark.parametrize("kind", ["size", "objects", "overlap"])
def test_the_groups_of_a_kind_hold_every_object_once(kind: str):
    found = cases_of(*tables(), "test", ["cat", "dog"], [4, 9])
    for column in ("objects", "found", "missed"):
        parts = [found[f"{column} {kind} {which}"] for this, which in GROUPS if this == kind]
        np.testing.assert_allclose(sum(parts), found[column])


def test_cases_stand_at_their_picture_and_class():
    counts, objects = tables()
    counts["tp"] = np.arange(8)
    found = cases_of(counts.assign(split=["val"] * 2 + ["test"] * 6), objects[objects["image"] != "a"], "test",
                     ["cat", "dog"], [4, 9])
    np.testing.assert_array_equal(found["tp"], [[2, 3], [4, 5], [6, 7]])
    np.testing.assert_array_equal(found["objects"], [[1, 0], [2, 4], [0, 0]])


def test_size_edges_are_thirds_of_the_test_objects():
    objects = pd.DataFrame({"split": ["test"] * 6 + ["val"] * 3, "area": [60, 10, 20, 50, 30, 40, 1000, 2000, 3000]})
    edges = size_edges(objects)
    assert edges == pytest.approx([10 + 50 / 3, 10 + 100 / 3])
    areas = objects["area"][:6]
    assert [(areas < edges[0]).sum(), (areas >= edges[1]).sum()] == [2, 2]
    assert size_edges(objects[:0]) == [0, 0]
