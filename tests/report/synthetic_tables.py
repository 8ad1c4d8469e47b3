"""The tables of a made-up comparison, with numbers that hang together and no training behind."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tests.report.synthetic_study import CONVENTIONS, KIND, LOWER, TERMS, Study, definitions

SHARES = ("iou", "dice", "precision", "recall", "specificity", "pixel_accuracy", "boundary_iou", "nsd", "iou_own",
          "dice_own")
DICE_NAMES = ("dice_dataset", "dice_image_mean", "dice_image_mean_empty_0", "dice_image_mean_empty_1",
              "dice_batch_flattened_1", "dice_batch_flattened_4", "dice_batch_flattened_8", "dice_with_background",
              "pixel_accuracy")


def tables_of(study: Study, rng: np.random.Generator, *, pairs: dict[str, Any], provenance: dict[str, Any],
              reversed_by: Sequence[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """All tables by name; for the arguments see `synthetic.write`."""
    scores = _scores(study)
    return {"scores": scores, "ranking": _ranking(study, scores), "classes": _classes(study, rng),
            "pairs": _pairs(study, scores).assign(**pairs), "groups": _groups(study),
            "confusion": _confusion(study), "group_pairs": _group_pairs(study), "seed_classes": _seed_classes(study),
            "curves": _curves(study, rng), "trainings": _trainings(study), "dice_names": _dice_names(study),
            "gradients": _gradients(study), "seed_scores": _seed_scores(study, scores),
            "baselines": _baselines(study), "conventions": _conventions(study),
            "reversals": reversals(*reversed_by), "provenance": _provenance(study).assign(**provenance)}


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
    names = [score["name"] for score in definitions(study)]
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
