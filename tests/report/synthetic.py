"""A made-up comparison: the files that `compare` writes, with numbers that hang together and no training behind."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglib.comparison.coursework import coursework
from seglib.comparison.findings import findings
from seglib.files import write_json
from tests.report.synthetic_figures import write_figures
from tests.report.synthetic_gallery import write_gallery

LOSSES = {"mse": {"mse": 1.0}, "mse_dice": {"mse": 1.0, "dice": 1.0}, "mse_dice20": {"mse": 1.0, "dice": 20.0},
          "mse_dice400": {"mse": 1.0, "dice": 400.0}, "dice": {"dice": 1.0}}
FEWEST_SEEDS = 3
TERMS = LOSSES | {"ce_weighted": {"ce": 1.0}}
SHARES = ("iou", "dice", "precision", "recall", "specificity", "pixel_accuracy", "boundary_iou", "nsd", "iou_own",
          "dice_own")
LOWER = ("hd95_image_mean", "hole_share", "specks", "wrong_class", "missed", "missed_small", "missed_medium",
         "missed_large", "missed_covered", "missed_free")
FORMULAS = {"iou": ("IoU", "TP / (TP + FP + FN)"), "dice": ("Dice", "2 TP / (2 TP + FP + FN)"),
            "precision": ("precision", "TP / (TP + FP)"), "recall": ("recall", "TP / (TP + FN)"),
            "specificity": ("specificity", "TN / (TN + FP)"), "boundary_iou": ("boundary IoU", "IoU of the bands"),
            "pixel_accuracy": ("pixel accuracy", "(TP + TN) / all"), "nsd": ("NSD", "borders within the tolerance"),
            "iou_own": ("IoU at own size", "TP / (TP + FP + FN)"), "dice_own": ("Dice at own size", "2 TP / ..."),
            "hd95": ("HD95", "95th percentile of the distances between borders"),
            "overall_accuracy": ("overall accuracy", "share of pixels that are given their class"),
            "pixel_ap": ("pixel AP", "area under the precision-recall curve over pixels")}
AGGREGATIONS = {"dataset": "all pixels", "image_mean": "image mean"}
KIND = {"small": "size", "medium": "size", "large": "size", **dict.fromkeys("12345", "objects"),
        "covered": "overlap", "free": "overlap"}  # of groups of objects
DICE_NAMES = ("dice_dataset", "dice_image_mean", "dice_image_mean_empty_0", "dice_image_mean_empty_1",
              "dice_batch_flattened_1", "dice_batch_flattened_4", "dice_batch_flattened_8", "dice_with_background",
              "pixel_accuracy")

CONVENTIONS = [*(("iou", name) for name in ("dataset", "image_mean", "mean_iou", "smp_micro")),
               *(("dice", name) for name in ("dataset", "image_mean", "dice_score", "smp_micro"))]


@dataclasses.dataclass(kw_only=True)
class Study:
    """What to make up. Variants are models × losses; their order is their quality, `gap` apart."""

    dataset: str = "shapes"
    models: tuple[str, ...] = ("munet",)
    losses: tuple[str, ...] = ("mse_dice20", "mse_dice", "mse", "dice")
    seeds: tuple[int, ...] = (1234, 1235, 1236)
    classes: tuple[str, ...] = ("rectangle", "triangle", "disk", "oval", "star")
    absent: tuple[str, ...] = ()  # classes that no test picture holds
    images: int = 500
    pictures: int = 9
    side: int = 64
    gap: float = 0.03
    decided: bool = True  # whether it is known which of two is better, if they are more than a gap apart
    task: str = "multilabel"  # "multiclass": masks hold the class's number plus 1, and a column is ignored
    frequency: bool = False  # whether the last variant is a model without loss and seed
    baseline: bool = False  # whether that one is a baseline, which the variant before it equals
    one_seed: tuple[str, ...] = ()  # the variants that were trained with the first seed alone
    failed: dict[str, int] = dataclasses.field(default_factory=dict)  # how many seeds of a variant failed
    floor: dict[str, Any] | None = dataclasses.field(
        default_factory=lambda: {"score": 0.031, "baseline": "frequency"})  # what a training must exceed
    snapshots: bool = False  # whether variants kept masks while they trained
    coursework: bool = True  # whether the coursework studied the dataset
    displayed: bool = False  # whether outputs were compared with DLStudio's display bands
    seed: int = 0

    @property
    def variants(self) -> list[str]:
        trained = [f"{model} {loss}" for loss, model in itertools.product(self.losses, self.models)]
        return trained + (["frequency"] if self.frequency else [])

    @property
    def trained(self) -> list[str]:
        return [variant for variant in self.variants if variant != "frequency"]

    def seeds_of(self, variant: str) -> tuple[int, ...]:
        if variant == "frequency":
            return (0,)
        return self.seeds[:1] if variant in self.one_seed else self.seeds

    def has_enough_seeds(self, variant: str) -> bool:
        return variant == "frequency" or len(self.seeds_of(variant)) >= FEWEST_SEEDS


def write(study: Study, comparisons: Path, *, pairs: dict[str, Any] | None = None,
          reversed_by: Sequence[dict[str, Any]] = (), provenance: dict[str, Any] | None = None,
          empty: Sequence[str] = ()) -> Path:
    """Fill comparisons/<dataset>/ and give its path.

    Args:
        reversed_by: the rows of `reversals`.
        pairs, provenance: columns of these tables to replace, as `DataFrame.assign` takes them.
        empty: the tables to leave without rows.
    """
    folder = comparisons / study.dataset
    for name in ("tables", "figures", "gallery"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(study.seed)
    scores = _scores(study)
    tables = {"scores": scores, "ranking": _ranking(study, scores), "classes": _classes(study, rng),
              "pairs": _pairs(study, scores).assign(**pairs or {}), "groups": _groups(study),
              "confusion": _confusion(study), "group_pairs": _group_pairs(study), "seed_classes": _seed_classes(study),
              "curves": _curves(study, rng), "trainings": _trainings(study), "dice_names": _dice_names(study),
              "gradients": _gradients(study), "seed_scores": _seed_scores(study, scores),
              "baselines": _baselines(study), "conventions": _conventions(study),
              "reversals": reversals(*reversed_by), "provenance": _provenance(study).assign(**provenance or {})}
    tables |= {name: tables[name].head(0) for name in empty}
    for name, table in tables.items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False, float_format="%.9g", lineterminator="\n")
    write_json(folder / "tables" / "claims.json", claims(study))
    write_json(folder / "tables" / "munet.json", munet(study))
    write_json(folder / "tables" / "published.json", published(study) if study.coursework else [])
    summary = _summary(study)
    write_json(folder / "tables" / "summary.json", summary)
    write_json(folder / "tables" / "findings.json", findings(tables, seedless=summary["seedless"], floor=study.floor))
    if study.coursework:
        write_json(folder / "tables" / "coursework.json", coursework(summary, tables))
    write_gallery(study, folder / "gallery", rng)
    write_figures(study.variants, folder / "figures", snapshots=len(study.trained) if study.snapshots else 0)
    return folder


def _definitions(study: Study) -> list[dict[str, Any]]:
    """What summary.json says of every score, in the order of the page's tables."""
    resized = exclusive = study.task == "multiclass"
    tables = {"iou": ["main", *(["size"] if resized else []), "class"], "boundary_iou": ["main", "class"],
              "iou_own": ["size"] if resized else [], "overall_accuracy": ["rest"] if exclusive else []}
    tables |= {"dice": tables["iou"], "dice_own": tables["iou_own"]}
    told = []
    for base, (heading, formula) in FORMULAS.items():
        alone = base in ("pixel_ap", "overall_accuracy")
        for kind, text in AGGREGATIONS.items() if not alone else [(None, "")]:
            told.append({"name": f"{base}_{kind}" if kind else base, "base": base, "aggregation": kind, "group": None,
                         "heading": heading, "title": f"{heading}, {text}" if text else heading, "formula": formula,
                         "empty": f"how {base} counts empty masks", "n_of": "pairs" if kind == "image_mean" else
                         "pictures", "unit": "", "better": "higher", "digits": 3,
                         "tables": [table for table in tables.get(base, ["rest"])
                                    if table != "class" or kind == "dataset"]})
    hd95 = next(score for score in told if score["name"] == "hd95_image_mean")
    hd95 |= {"unit": "pixels", "better": "lower", "digits": 2}
    told = [score for score in told if score["name"] != "hd95_dataset"]
    told.append({"name": "displayed", "base": "displayed", "aggregation": None, "group": None, "heading": "displayed",
                 "title": "displayed", "formula": "how displayed is counted", "empty": "", "n_of": "pictures",
                 "unit": "", "better": "higher", "digits": 3, "tables": []})
    headings = {"hole_share": "holes", "specks": "specks", "wrong_class": "wrong class"}
    for name in ("completeness", *LOWER[1:]):
        base, _, which = name.partition("_") if name.startswith("missed") else (name, "", "")
        heading = headings.get(name, f"{base}, {which}" if which else base)
        told.append({"name": name, "base": base, "aggregation": None, "group": [KIND[which], which] if which else None,
                     "heading": heading, "title": heading, "formula": f"how {name} is counted",
                     "empty": f"how {name} counts empty masks", "n_of": "objects",
                     "unit": "a picture" if name == "specks" else "", "digits": 2 if name == "specks" else 3,
                     "better": "higher" if name == "completeness" else "lower",
                     "tables": [] if exclusive and which in ("covered", "free") else ["seen"]})
    for base, kind, which in itertools.product(("completeness", "missed"), KIND.values(), KIND):
        if KIND[which] == kind and not (base == "missed" and kind != "objects"):
            name = f"{base}_{which}_objects" if kind == "objects" else f"{base}_{which}"
            told.append(told[-1] | {"name": name, "base": base, "group": [kind, which], "heading": f"{base}, {which}",
                                    "tables": []})
    return told


def _scores(study: Study) -> pd.DataFrame:
    rows = []
    names = [f"{name}_{kind}" for name in SHARES for kind in ("dataset", "image_mean")]
    for i, variant in enumerate(study.variants):
        for split, extra in (("test", 0.0), ("val", 0.01)):
            for j, name in enumerate([
                    *names, "pixel_ap", "overall_accuracy", "completeness", *LOWER,
                    *(["displayed"] if study.displayed else [])]):
                mean = 0.85 - study.gap * i - 0.004 * j + extra
                if name in LOWER:
                    mean = 0.02 + 0.05 * (i * (j + 3) % 7) / 7
                mean *= 40 if name.startswith("hd95") else 1
                width = 0.01 + 0.002 * (i + j) % 0.02
                mean = np.nan if len(study.absent) == len(study.classes) else mean
                many = len(study.seeds_of(variant)) > 1
                rows.append({"variant": variant, "split": split, "score": name, "mean": mean,
                             "sd": width / 2 if many else np.nan, "low": mean - width, "high": mean + width,
                             "min": mean - width / 2, "max": mean + width / 2, "seeds": len(study.seeds_of(variant)),
                             "images": study.images if split == "test" else study.images // 2,
                             "n": 1000 + i if name.endswith("_image_mean") else 500,
                             "interval_of": _scope(study, variant)})
    return pd.DataFrame(rows)


def _scope(study: Study, *variants: str) -> str:
    trained = [variant for variant in variants if variant != "frequency"]
    if not trained:
        return "these masks, other pictures"
    few = any(len(study.seeds_of(variant)) == 1 for variant in trained)
    return "these weights, other pictures" if few else "other seeds and other pictures"


def _baselines(study: Study) -> pd.DataFrame:
    rows = [{"variant": variant, "baseline": "frequency", "identical": float(variant == study.trained[-1]),
             "difference": 0.1, "low": 0.0, "high": 0.2} for variant in study.trained if study.baseline]
    return pd.DataFrame(rows, columns=["variant", "baseline", "identical", "difference", "low", "high"])


def _without_baselines(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["variant"] != "frequency"] if study.baseline else scores


def _ranking(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    scores = _without_baselines(study, scores)
    chosen = scores[(scores["split"] == "test") & (scores["score"] == "iou_dataset")].reset_index(drop=True)
    enough = chosen["variant"].map(study.has_enough_seeds).astype(bool)
    order = enough.cumsum()  # among the variants with enough seeds, of which the first two may change places
    ranks = [order.mask(order == 2, 1), order.mask(order == 1, min(2, enough.sum()))]
    if not study.decided:
        ranks = [order.clip(1, 1), order.clip(enough.sum(), enough.sum())]
    for name, rank in zip(("rank_low", "rank_high"), ranks, strict=True):
        chosen[name] = rank.astype("Int64").where(enough & (enough.sum() >= min(2, len(chosen))))
    chosen["enough_seeds"] = enough
    is_trained = chosen["variant"] != "frequency"
    failed = chosen["variant"].map(study.failed).fillna(0).astype("Int64")
    chosen["failed"] = failed.where(is_trained & bool(study.floor))
    columns = ["variant", "rank_low", "rank_high", "enough_seeds", "mean", "low", "high", "interval_of", "min", "max",
               "sd", "seeds", "failed"]
    return chosen[columns].dropna(subset="mean")


def _seed_scores(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """The seeds' scores lie evenly between the lowest and the highest."""
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    for row in scores.itertuples():
        seeds = study.seeds_of(row.variant)
        values = np.linspace(row.min, row.max, len(seeds)) if len(seeds) > 1 else [row.mean]
        for seed, value in zip(seeds, values, strict=True):
            about = {"variant": row.variant, "split": row.split, "seed": None if row.variant == "frequency" else seed}
            rows.setdefault((row.variant, row.split, seed), about)[row.score] = value
    for (variant, split, seed), row in rows.items():
        if split == "test":
            of_groups = _group_means(study, variant)
            row |= {name: mean + 0.001 * (seed % 7) for name, (*_, mean) in of_groups.items() if name not in row}
    names = [score["name"] for score in _definitions(study)]
    return pd.DataFrame(rows.values(), columns=["variant", "split", "seed", *names]).astype({"seed": "Int64"})


def _seed_classes(study: Study) -> pd.DataFrame:
    rows = [{"variant": variant, "split": split, "seed": None if variant == "frequency" else seed, "class": name,
             "iou_dataset": np.nan if name in study.absent else 0.7 + 0.01 * n - 0.03 * i}
            for i, variant in enumerate(study.variants) for split in ("test", "val")
            for n, seed in enumerate(study.seeds_of(variant)) for name in study.classes]
    return pd.DataFrame(rows, columns=["variant", "split", "seed", "class", "iou_dataset"]).astype({"seed": "Int64"})


def _provenance(study: Study) -> pd.DataFrame:
    """All results are made in one way."""
    rows = [{"result": f"{variant.replace(' ', '-')}-{seed}", "variant": variant, "seed": seed, "step": step}
            for variant in study.trained for seed in study.seeds_of(variant) for step in ("training", "evaluation")]
    if study.frequency:
        rows.append({"result": "frequency", "variant": "frequency", "seed": None, "step": "evaluation"})
    table = pd.DataFrame(rows).assign(device="cpu", gpu=None, precision="fp32", threads=4, torch="2.12.0", numpy="2.10",
                                      pillow="12.1.0", seglib="0.1", fingerprint="0123456789" + 54 * "a")
    return table.astype({"seed": "Int64"})


def _classes(study: Study, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for i, variant in enumerate(study.variants):
        for split, name in itertools.product(("test", "val"), study.classes):
            iou = np.nan if name in study.absent else 0.85 - study.gap * i - 0.1 * rng.random()
            rows.append({"variant": variant, "split": split, "class": name,
                         "images_with_class": 0 if name in study.absent else study.images // 3,
                         "iou_dataset": iou, "low": iou - 0.02, "high": iou + 0.02}
                        | {f"{score}_dataset": iou * 0.9 for score in SHARES[1:]})
    return pd.DataFrame(rows)


def _pairs(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    rows, scores = [], _without_baselines(study, scores)
    for score in ("iou_dataset", "dice_dataset", "iou_image_mean", "boundary_iou_dataset", "completeness"):
        of = scores[(scores["split"] == "test") & (scores["score"] == score)].set_index("variant")["mean"].dropna()
        order = list(of.index)
        for a, b in itertools.combinations(order, 2):
            difference, steps = of[a] - of[b], order.index(b) - order.index(a)
            looks_better = study.decided and not (order.index(a) == 0 and steps == 1)
            enough = study.has_enough_seeds(a) and study.has_enough_seeds(b)
            verdict = "too few seeds" if not enough else "better" if looks_better else "unknown"
            width = abs(difference) * (0.6 if looks_better else 1.4)
            row = {"a": a, "b": b, "score": score, "difference": difference, "low": difference - width,
                   "high": difference + width, "interval_of": _scope(study, a, b), "verdict": verdict,
                   "effect": 0.4 * steps, "won": min(0.5 + 0.1 * steps, 1)}
            if enough:
                row |= {"p_holm": 0.0012 if looks_better else 0.24}
            if verdict == "unknown":
                row |= {"seeds_low": 5, "seeds_high": 31, "units_low": 1900, "units_high": None}
            rows.append(row)
    needed = ["seeds_low", "seeds_high", "units_low", "units_high"]
    columns = ["a", "b", "score", "difference", "low", "high", "interval_of", "p_holm", "verdict", "effect", "won",
               *needed]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(needed, "Int64"))


def _groups(study: Study) -> pd.DataFrame:
    kinds = [("size", "small", 0, 120, 210), ("size", "medium", 120, 400, 480), ("size", "large", 400, None, 333)]
    kinds += [("objects", str(n), n, n, 90 * n) for n in range(1, 6)]
    if study.task == "multilabel":
        kinds += [("overlap", "free", None, None, 700), ("overlap", "covered", None, None, 320)]
    edges = {(by, group): of for by, group, *of in kinds}
    rows = []
    for variant in study.variants:
        for score, by, group, mean in _group_means(study, variant).values():
            if (by, group) in edges:
                low, high, n = edges[by, group]
                rows.append({"variant": variant, "split": "test", "by": by, "group": group, "low_edge": low,
                             "high_edge": high, "score": score, "mean": mean, "low": mean - 0.03, "high": mean + 0.03,
                             "n": n})
    return pd.DataFrame(rows)


def _group_means(study: Study, variant: str) -> dict[str, tuple[str, str, str, float]]:
    """By the score's name: its base, the kind and the name of the group, and the mean."""
    found = {}
    for base, best in (("completeness", 0.9), ("missed", 0.2)):
        for j, (group, by) in enumerate(KIND.items()):
            name = f"{base}_{group}_objects" if by == "objects" else f"{base}_{group}"
            found[name] = base, by, group, best - study.gap * study.variants.index(variant) - 0.04 * (j % 4)
    return found


def _group_pairs(study: Study) -> pd.DataFrame:
    """Sizes are told apart, and nothing else."""
    rows = []
    for variant in study.variants:
        of = [(by, group, mean) for base, by, group, mean in _group_means(study, variant).values()
              if base == "completeness"]
        for (by, a, above), (other, b, below) in itertools.permutations(of, 2):
            if by == other and above > below:
                enough = study.has_enough_seeds(variant)
                verdict = "too few seeds" if not enough else "better" if by == "size" and study.decided else "unknown"
                rows.append({"variant": variant, "by": by, "a": a, "b": b, "difference": above - below,
                             "verdict": verdict})
    return pd.DataFrame(rows, columns=["variant", "by", "a", "b", "difference", "verdict"])


def _confusion(study: Study) -> pd.DataFrame:
    rows, pixels = [], (*study.classes, "background")
    pixel_sides = (study.classes,) * 2 if study.task == "multiclass" else (pixels, (*pixels, "several"))
    for i, variant in enumerate(study.variants):
        for kind, truths, answers in (("objects", study.classes, (*study.classes, "nothing")),
                                      ("pixels", *pixel_sides)):
            for t, truth in enumerate(truths):
                counts = [900 - 20 * i if t == p else 5 + (t * 7 + p * 3 + i) % 20 for p in range(len(answers))]
                rows += [{"variant": variant, "kind": kind, "truth": truth, "predicted": answer, "count": count,
                          "share": count / sum(counts)} for answer, count in zip(answers, counts, strict=True)]
    return pd.DataFrame(rows)


def _curves(study: Study, rng: np.random.Generator) -> pd.DataFrame:
    parts = []
    for i, variant in enumerate(study.trained):
        terms = TERMS[variant.split()[1]]
        for seed, curve in itertools.product(study.seeds_of(variant), ("train window", "train epoch", "val epoch")):
            n = 24 if curve == "train window" else 6
            fall = np.exp(-np.arange(n) * 3 / n) + rng.random(n) * 0.02
            values = {"mse": 0.1 * fall, "dice": 0.2 + 0.7 * fall, "ce": 2 * fall}
            loss = sum(weight * values[term] for term, weight in terms.items())
            parts.append(pd.DataFrame({
                "variant": variant, "seed": seed, "curve": curve, "iteration": np.arange(1, n + 1) * 600 // n,
                "epoch": np.arange(1, n + 1) * 6 // n, "loss": loss,
                "normalised": (loss - loss.min()) / (loss.max() - loss.min()), "lr": 1e-3,
                "iou_score": None if curve != "val epoch" else 0.85 - study.gap * i - 0.3 * fall,
                **{term: values.get(term) if term in terms else None for term in ("mse", "dice")}}))
    if study.frequency:
        parts.append(pd.DataFrame({"variant": "frequency", "curve": ["train epoch", "val epoch"], "iteration": 9,
                                   "epoch": 1, "iou_score": 0.2, "seed": None, "loss": None, "normalised": None}))
    return pd.concat(parts, ignore_index=True)


def _trainings(study: Study) -> pd.DataFrame:
    """Each first seed but the first variant's is stopped early; the second variant is asked to learn by heart."""
    return pd.DataFrame([
        {"variant": variant, "seed": seed, "epochs": 40, "trained": 30 if i and not n else 40,
         "overfit": 8 if i == 1 else None, "learnt": False if i == 1 else None, "kept": 21 + n, "kept_by": "iou",
         "val_iou": 0.8 - 0.01 * i - 0.001 * n,
         "val_dice": 0.85 - 0.01 * i, "score_gap": 0.05 + 0.01 * i, "lowest_val_loss_epoch": 17, "val_loss_rise": 0.125}
        for i, variant in enumerate(study.trained) for n, seed in enumerate(study.seeds_of(variant))], columns=[
            "variant", "seed", "epochs", "trained", "overfit", "learnt", "kept", "kept_by", "val_iou", "val_dice",
            "score_gap", "lowest_val_loss_epoch", "val_loss_rise"])


def _dice_names(study: Study) -> pd.DataFrame:
    values = dict(zip(DICE_NAMES, (0.83, 0.70, 0.62, 0.74, 0.74, 0.80, 0.86, 0.87, 0.985), strict=True))
    return pd.DataFrame([{"variant": variant, "definition": name, "value": value - 0.01 * i}
                         for i, variant in enumerate(study.variants) for name, value in values.items()])


def _conventions(study: Study) -> pd.DataFrame:
    rows = []
    compared = [variant for variant in study.variants if not (study.baseline and variant == "frequency")]
    for (score, name), (i, variant) in itertools.product(CONVENTIONS, enumerate(study.variants)):
        mean = np.nan if len(study.absent) == len(study.classes) else 0.8 - study.gap * i
        has_place = variant in compared and not np.isnan(mean)
        rows.append({"variant": variant, "score": score, "convention": name, "mean": mean,
                     "place": i + 1 if has_place else None})
    return pd.DataFrame(rows).astype({"place": "Int64"})


def reversals(*rows: dict[str, Any]) -> pd.DataFrame:
    """Pairs whose means change places: `a` and `b`, verdicts and conventions, with made-up means."""
    means = {"headline_a": 0.81, "headline_b": 0.79, "mean_a": 0.71, "mean_b": 0.73, "low": -0.01, "high": 0.05}
    columns = ["a", "b", "headline_a", "headline_b", "headline_verdict", "score", "convention", "mean_a", "mean_b",
               "low", "high", "verdict"]
    return pd.DataFrame([means | row for row in rows], columns=columns)


def _gradients(study: Study) -> pd.DataFrame:
    norms = {"mse": (0.12, 0.03, 0.01), "dice": (0.04, 0.02, 0.02), "ce": (0.3, 0.1, 0.1)}
    return pd.DataFrame([
        {"variant": variant, "term": term, "weight": weight, "first": norms[term][0], "median": norms[term][1],
         "last": norms[term][2]}
        for variant in study.trained for term, weight in TERMS[variant.split()[1]].items()],
        columns=["variant", "term", "weight", "first", "median", "last"])


def munet(study: Study) -> dict[str, Any] | None:
    """The facts of the networks whose names say that they are mUnets; `munet_faithful` has the defect."""
    networks = [{"names": [model], "depth": 4, "width": 32, "aspp_rates": [2, 4] if "aspp" in model else None,
                 "upsampling": "dlstudio" if "faithful" in model else "learned", "parameters": 643_877,
                 "idle_parameters": 185_376, "convolutions": 28, "reached": 0.25 if "faithful" in model else 1.0,
                 "iou_ceiling": 0.25, "dice_ceiling": 0.4} for model in study.models if "munet" in model]
    return {"networks": networks, "targets": ["unit"]} if networks else None


def claims(study: Study) -> list[dict[str, Any]]:
    """A claim with each verdict that the study's seeds allow."""
    said = [("supported", "Dice brings specks", "source"), ("contradicted", "Dice alone runs smoothest", "source"),
            ("undecided", "ASPP helps", "ours"), ("not run", "MSE + 400·Dice gains most at first", "yours")]
    if not all(map(study.has_enough_seeds, study.variants)):
        said = [("too few seeds", "Dice brings specks", "source"), said[-1]]
    return [{"id": f"claim-{i}", "claim": claim, "whose": whose, "source": "DLStudio's own notes", "verdict": verdict,
             "registered": None if whose == "yours" else "2026-11-21",
             "changed": [] if whose != "ours" else [{"date": "2026-11-22", "what": "its epochs",
                                                     "why": "a shorter run decides nothing"}],
             "why": f"The figures make it {verdict}.",
             "parts": [
                 {"text": "specks a picture", "verdict": verdict, "value": None if verdict == "not run" else 0.31,
                  "low": 0.22, "high": 0.4,
                  "p_holm": {"supported": 0.0004, "contradicted": 0.012, "undecided": 0.31}.get(verdict)}]}
            for i, (verdict, claim, whose) in enumerate(said)]


def published(study: Study) -> list[dict[str, Any]]:
    """A reproduction with a figure of each verdict."""
    row = {"quantity": "running mean of the training loss at iteration 500", "of": "munet, mse", "published": 450,
           "tolerance": 20, "reason": "rounding", "definition": "The mean over 500 iterations.", "seeds": 3}
    return [{"name": "shapes-2024", "title": "MSE on Shapes", "source": "A course report.", "rows": [
        row | {"id": "a", "ours": 455.25, "low": 440.0, "high": 470.5, "because": None, "verdict": "agrees"},
        row | {"id": "b", "ours": 12345.6, "low": None, "high": None, "because": None, "seeds": 1,
               "verdict": "differs"},
        row | {"id": "c", "ours": None, "low": None, "high": None, "because": "not run: munet mse", "seeds": None,
               "verdict": "not comparable"}]}]


def _absent(study: Study) -> dict[str, Any]:
    """7 of 10 pairs of a val picture and a class lack the class, and Dice costs 1 there."""
    pairs = study.images // 2 * len(study.classes)
    terms = {variant: TERMS[variant.split()[1]] for variant in study.trained}
    variants = {variant: {"costs": {"dice": 1.0}, "floor": 0.7 * of["dice"],
                          "teaches": study.task == "multiclass" or "mse" in of}
                for variant, of in terms.items() if "dice" in of}
    return {"pairs": pairs, "lacking": 7 * pairs // 10, "variants": variants}


def _summary(study: Study) -> dict[str, Any]:
    train = {"optimizer": "adamw", "lr": 0.02, "epochs": 5, "targets": "unit", "snapshots": [1, 2],
             "augment": {"flip": 0.5, "rotation": 15.0}}
    configs = {variant: {"model": {"kind": model.removesuffix("_label")}, "loss": {"terms": TERMS[loss]},
                         "train": train | ({"targets": "label"} if model.endswith("_label") else {})}
               for variant in study.trained for model, loss in [variant.split()]}
    if study.frequency:
        configs["frequency"] = {"model": {"kind": "frequency"}}
    return {
        "dataset": study.dataset, "task": study.task, "exclusive": study.task == "multiclass",
        "resize": "stretch", "resized": study.task == "multiclass",
        "fewest_seeds": FEWEST_SEEDS,
        "seedless": ["frequency"] if study.frequency else [], "baselines": ["frequency"] if study.baseline else [],
        "snapshots": {variant: f"snapshots_{i}" for i, variant in enumerate(study.trained, 1) if study.snapshots},
        "classes": list(study.classes),
        "counts": {"train": 9 * study.images // 2, "val": study.images // 2, "test": study.images},
        "image_size": [study.side, study.side], "selection": {"train2017": {"pictures": 74, "selected": 23}},
        "annotations": {"drawn": {"count": 1200, "examples": [], "meaning": "its mask is part of the truth"},
                        "crowd": {"count": 3, "examples": ["annotations.json annotation 7"],
                                  "meaning": "it marks a crowd"}},
        "allowed": ["the class star never occurs in test"],
        "rejected": [{"split": "train", "what": "picture", "reason": "does not decode", "n": 3}],
        "cases": {variant: {"best": study.seeds_of(variant)[0], "worst": study.seeds_of(variant)[-1]}
                  for variant in study.variants},
        "configs": configs, "coursework": study.coursework,
        "names": {variant: [tuple(variant.split())] for variant in study.trained} | (
            {"frequency": [("frequency", "")]} if study.frequency else {}),
        "seeds": list(study.seeds) if study.trained else [], "headline": "iou_dataset",
        "scores": _definitions(study), "aggregations": {
            name: {"title": title, "definition": f"how {title} are added up"} for name, title in AGGREGATIONS.items()},
        "conventions": {name: {"title": name.replace("_", " "), "definition": f"what {name} averages"}
                        for _, name in CONVENTIONS},
        "tolerance": 2, "boundary_band": {"pixels": 2, "share": 0.02}, "sizes": [120, 400],
        "absent": _absent(study),
        "margin": 0.01, "floor": study.floor, "confidence": 0.95,
        "data_sha256": {"test/images.npy": "3f" * 32, "test/masks.npy": "a0" * 32}}
