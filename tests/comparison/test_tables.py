"""Every definition of Dice against the library that has it; the other tables against their sources."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from monai.metrics import DiceMetric
from sklearn import metrics as sk
from torchmetrics.classification import MultilabelF1Score

from seglib import tasks
from seglib.comparison import tables
from seglib.datasets.store import Split
from seglib.metrics.ranking import SplitHistograms, average_precision
from seglib.metrics.scores import BY_NAME, HEADLINE
from seglib.metrics.scores.score import Facts, mean_score
from seglib.pipeline.workspace import TrainingFiles
from tests.comparison.conftest import BAD, GOOD, Compared, with_columns

Pairs = list[tuple[np.ndarray, np.ndarray]]  # truth and prediction, bool (N, K, H, W), a pair a seed


@pytest.fixture
def split(compared: Compared) -> Split:
    return Split.open(Path("data/prepared/shapes"), "test")


def pairs_of(loss: str, split: Split) -> Pairs:
    predictions = [np.load(TrainingFiles("shapes", f"munet-{loss}-{seed}").predictions) for seed in (1, 2, 3)]
    truth = tasks.get("multilabel").unpack(np.asarray(split.masks), 4)
    return [(truth, tasks.get("multilabel").unpack(predicted, 4)) for predicted in predictions]


def dice(truth: np.ndarray, predicted: np.ndarray, empty: float = np.nan) -> float:
    return sk.f1_score(truth.ravel(), predicted.ravel(), zero_division=empty)


def pooled(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """torchmetrics' Dice (F1) of each class over all pixels, (K,)."""
    measure = MultilabelF1Score(num_labels=truth.shape[1], average="none")
    return measure(torch.from_numpy(predicted).int(), torch.from_numpy(truth).int()).numpy()


def by_picture(truth: np.ndarray, predicted: np.ndarray, empty: float) -> np.ndarray:
    return np.array([[dice(t, p, empty) for t, p in zip(*planes, strict=True)]
                     for planes in zip(truth, predicted, strict=True)])


def with_background(planes: np.ndarray) -> np.ndarray:
    return np.concatenate([planes, ~planes.any(1, keepdims=True)], axis=1)


def flattened(size: int):
    """The batches of `size` pictures as one long vector each."""
    return lambda truth, predicted: np.mean([dice(truth[i:i + size], predicted[i:i + size], 1.0)
                                             for i in range(0, len(truth), size)])


def monai_s(truth: np.ndarray, predicted: np.ndarray) -> float:
    """MONAI's Dice of each picture and class, 1 where neither mask has a pixel."""
    measure = DiceMetric(include_background=True, reduction="none", ignore_empty=False)
    return float(measure(torch.from_numpy(predicted).float(), torch.from_numpy(truth).float()).mean())


# The ghost (the last class) is in no picture: it has no part but where every picture and class has.
DEFINITIONS = {
    "dice_dataset": lambda t, p: pooled(t, p)[:3].mean(),
    "dice_image_mean": lambda t, p: np.nanmean(by_picture(t, p, np.nan)[:, :3], axis=0).mean(),
    "dice_image_mean_empty_0": lambda t, p: by_picture(t, p, 0.0).mean(),
    "dice_image_mean_empty_1": monai_s,
    "dice_batch_flattened_1": flattened(1), "dice_batch_flattened_4": flattened(4),
    "dice_batch_flattened_8": flattened(8),
    "dice_with_background": lambda t, p: pooled(with_background(t), with_background(p))[[0, 1, 2, 4]].mean(),
    "pixel_accuracy": lambda t, p: np.mean([sk.accuracy_score(t[:, k].ravel(), p[:, k].ravel()) for k in range(3)]),
}


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_what_is_called_dice(compared: Compared, split: Split, definition: str):
    found = tables.dice_names(compared.variants, split, compared.info.task)
    assert len(found) == 3 * len(DEFINITIONS)
    for label, loss in ((GOOD, "good"), (BAD, "bad")):
        value, = found[(found["variant"] == label) & (found["definition"] == definition)]["value"]
        expected = np.mean([DEFINITIONS[definition](*pair) for pair in pairs_of(loss, split)])
        assert value == pytest.approx(expected, rel=1e-6)


def test_a_picture_with_nothing_is_a_whole_batch_of_dice_1(compared: Compared, split: Split):
    """One of the test pictures is empty; a network that finds nothing has it right."""
    truth, _ = pairs_of("good", split)[0]
    assert not truth[3].any()
    counts = {"tp": np.zeros((2, 1)), "fp": np.zeros((2, 1)), "fn": np.array([[0.0], [5]]), "tn": np.ones((2, 1)),
              "hd95": np.full((2, 1), np.nan)}
    silent = with_columns(compared.variants[0].results[0], **counts)
    found = tables._dice_of(silent, split, compared.info.task)
    assert found["dice_batch_flattened_1"] == 0.5 and found["dice_batch_flattened_4"] == 0
    assert (found["dice_image_mean"], found["dice_image_mean_empty_0"], found["dice_image_mean_empty_1"]) == (0, 0, 0.5)


def test_ignored_pixels_are_no_background(compared: Compared, split: Split):
    masks = np.array(split.masks)
    where = np.random.default_rng(1).random(masks.shape) < 0.4
    ignoring = dataclasses.replace(split, masks=masks | (where.astype(np.uint8) << 7))
    found = tables._dice_of(compared.variants[0].results[0], ignoring, compared.info.task)
    truth, predicted = pairs_of("good", split)[0]
    background = dice(~truth.any(1)[~where], ~predicted.any(1)[~where])
    assert found["dice_with_background"] == pytest.approx(np.mean([*pooled(truth, predicted)[:3], background]))


def test_confusions_equal_scikit_learns(compared: Compared, split: Split):
    found = tables.confusion_table(compared.variants, compared.info.classes, compared.info.task)
    found = found.set_index(["variant", "kind"])
    for label, loss in ((GOOD, "good"), (BAD, "bad")):
        expected = np.zeros((5, 6), int)
        for truth, predicted in pairs_of(loss, split):
            single = truth.sum(1) <= 1  # where several classes truly are, nobody can say which was confused
            true = np.where(truth.any(1), truth.argmax(1), 4)[single]
            said = np.select([predicted.sum(1) > 1, predicted.any(1)], [5, predicted.argmax(1)], 4)[single]
            expected += sk.confusion_matrix(true, said, labels=range(6))[:5]
        pixels = found.loc[(label, "pixels")]
        np.testing.assert_array_equal(pixels["count"].to_numpy().reshape(5, 6), expected)
        assert pixels.groupby("truth")["share"].sum().drop("ghost").tolist() == pytest.approx([1] * 4)
        assert pixels[pixels["truth"] == "ghost"]["share"].isna().all()
    objects = found.loc[(BAD, "objects")]
    wrong = objects[(objects["predicted"] != objects["truth"]) & (objects["predicted"] != "nothing")]
    total = pd.concat([result.objects.query("split == 'test'") for result in compared.variant(BAD).results])
    assert objects["count"].sum() == len(total)
    assert wrong["count"].sum() == ((total["taken_for"] != total["class"]) & (total["taken_for"] >= 0)).sum() > 0


def test_exclusive_classes_are_confused_with_each_other_alone(mixed: Compared):
    """scikit-learn's matrix of the pixels that count: neither background nor several classes at once."""
    split = Split.open(Path("data/prepared/shapes"), "test")
    truth = np.asarray(split.masks)
    counted = truth != 255
    found = tables.confusion_table(mixed.variants, mixed.info.classes, mixed.info.task).set_index(["variant", "kind"])
    for variant in mixed.variants:
        expected = sum(sk.confusion_matrix(truth[counted], np.load(result.files.predictions)[counted], labels=range(4))
                       for result in variant.results)
        pixels = found.loc[(variant.label, "pixels")]
        np.testing.assert_array_equal(pixels["count"].to_numpy().reshape(4, 4), expected)
    assert list(dict.fromkeys(found.loc[("unet ce", "objects")]["predicted"])) == [*mixed.info.classes, "nothing"]


def test_where_every_pixel_has_a_class_there_is_no_background_to_score(mixed: Compared):
    split = Split.open(Path("data/prepared/shapes"), "test")
    found = tables.dice_names(mixed.variants, split, mixed.info.task)
    assert set(found["definition"]) == set(DEFINITIONS) - {"dice_with_background"}
    assert len(found) == 3 * (len(DEFINITIONS) - 1) and found["value"].notna().all()


def test_a_training_has_every_score_by_class_and_as_their_mean(compared: Compared):
    found = tables.training_scores(compared.variants, compared.info.classes)
    assert set(found["training"]) == {f"munet-{loss}-{seed}" for loss in ("alias", "same", "bad") for seed in (1, 2, 3)}
    assert found["value"].notna().all() and "ghost" not in set(found["class"])  # a class without a score has no row
    table = found.set_index(["training", "split", "class", "score"])["value"].sort_index()
    by_class = [table["munet-bad-2", "val", name, "dice_image_mean"] for name in compared.info.classes[:-1]]
    assert table["munet-bad-2", "val", "", "dice_image_mean"] == pytest.approx(np.mean(by_class))
    np.testing.assert_array_equal(table.loc["munet-same-3", "test", "disk"], table.loc["munet-alias-3", "test", "disk"])


def test_exclusive_classes_have_no_groups_of_overlap(mixed: Compared):
    found = tables.group_table(mixed.evidence, [20, 35], Facts(resized=True, exclusive=True))
    assert set(found["by"]) == {"size", "objects"}


def test_groups_are_the_scores_of_groups_with_their_objects(compared: Compared):
    found = tables.group_table(compared.evidence, [20, 35], Facts(resized=False, exclusive=False))
    scores = compared.evidence.score_table().query("split == 'test'").set_index(["variant", "score"])
    for row in found.itertuples():
        name = f"{row.score}_{row.group}" if row.by != "objects" else f"{row.score}_{row.group[0]}_objects"
        assert scores.loc[(row.variant, name), ["mean", "low", "high"]].tolist() == [row.mean, row.low, row.high]
    objects = compared.variants[0].results[0].objects.query("split == 'test'")
    good = found[(found["variant"] == GOOD) & (found["score"] == "missed")]
    assert good.groupby("by")["n"].sum().to_dict() == dict.fromkeys(["objects", "overlap", "size"], len(objects))
    covered, = good[good["group"] == "covered"]["n"]
    assert covered == (objects["covered"] > 0).sum()
    edges = good.set_index("group")[["low_edge", "high_edge"]]
    assert edges.loc["medium"].tolist() == [20, 35] and edges.loc["2"].tolist() == [2, 2]
    assert edges.loc[["large", "free"], "high_edge"].isna().all()


def test_classes_are_means_over_seeds_and_empty_where_absent(compared: Compared, split: Split):
    intervals = compared.evidence.class_intervals(HEADLINE, compared.info.classes)
    found = tables.class_table(compared.variants, compared.info.classes, intervals)
    found = found.set_index(["variant", "split", "class"]).sort_index()
    star = found.loc[(BAD, "test", "star")]
    assert star["iou_dataset"] == pytest.approx(
        np.mean([sk.jaccard_score(truth[:, 1].ravel(), said[:, 1].ravel()) for truth, said in pairs_of("bad", split)]))
    assert star["low"] <= star["iou_dataset"] <= star["high"]
    ghost = found.loc[(GOOD, "test", "ghost")]
    assert ghost.dropna().to_dict() == {"images_with_class": 0}
    assert found.loc[(GOOD, "val"), "low"].isna().all()  # intervals are of test


def test_each_seed_has_its_headline_score(mixed: Compared):
    found = tables.seed_table(mixed.variants).groupby(["variant", "split"])
    assert found.size().groupby("variant").sum().to_dict() == {"unet ce": 8, "convnet ce": 6, "frequency": 2}
    test = found.get_group(("unet ce", "test"))
    assert test["seed"].tolist() == [1, 2, 3, 4]
    truth = np.asarray(Split.open(Path("data/prepared/shapes"), "test").masks)
    counted = truth != 255
    for seed, score in zip(test["seed"], test["iou_dataset"], strict=True):
        predicted = np.load(TrainingFiles("shapes", f"unet-ce-{seed}").predictions)
        assert score == pytest.approx(sk.jaccard_score(truth[counted], predicted[counted], average="macro"))
    assert found.get_group(("frequency", "val"))["seed"].isna().tolist() == [True]


def test_a_class_has_its_own_average_precision(compared: Compared, split: Split):
    """Classes stand in the dataset's order, which is not that of their names."""
    assert compared.info.classes != sorted(compared.info.classes)
    for result in compared.variant(BAD).results:
        coarse_NKB2 = SplitHistograms(result.files.ranking, "test").by_picture_NKB2()
        expected = average_precision(coarse_NKB2.sum(0))
        np.testing.assert_allclose(result.class_scores["test"]["pixel_ap"], expected, atol=0.02)  # in coarser bins


def test_each_seed_has_every_score_and_the_headline_of_each_class(mixed: Compared):
    by_seed = tables.seed_table(mixed.variants).set_index(["variant", "split", "seed"]).sort_index()
    by_class = tables.seed_class_table(mixed.variants, mixed.info.classes)
    assert set(by_seed.columns) == set(BY_NAME)
    for variant in mixed.variants:
        of = by_class[(by_class["variant"] == variant.label) & (by_class["split"] == "test")]
        assert len(of) == len(variant.results) * len(mixed.info.classes)
        for result in variant.results:
            seed = by_seed.loc[(variant.label, "test")]
            seed = seed.loc[result.seed] if result.seed else seed.iloc[0]
            assert seed["nsd_dataset"] == mean_score(result.class_scores["test"]["nsd_dataset"])
            rows = of[of["seed"].isna() if result.seed is None else of["seed"] == result.seed].set_index("class")
            assert rows["iou_dataset"].mean() == pytest.approx(seed["iou_dataset"])
            assert rows["iou_dataset"].to_numpy() == pytest.approx(result.class_scores["test"]["iou_dataset"],
                                                                   nan_ok=True)
