"""What a made-up comparison is about: its variants, seeds, classes and pictures."""

import dataclasses
import itertools
from typing import Any

LOSSES = {"mse": {"mse": 1.0}, "mse_dice": {"mse": 1.0, "dice": 1.0}, "mse_dice20": {"mse": 1.0, "dice": 20.0},
          "mse_dice400": {"mse": 1.0, "dice": 400.0}, "dice": {"dice": 1.0}}
FEWEST_SEEDS = 3
TERMS = LOSSES | {"ce_weighted": {"ce": 1.0}}
LOWER = ("hd95_image_mean", "hole_share", "specks", "wrong_class", "missed", "missed_small", "missed_medium",
         "missed_large", "missed_covered", "missed_free")
KIND = {"small": "size", "medium": "size", "large": "size", **dict.fromkeys("12345", "objects"),
        "covered": "overlap", "free": "overlap"}  # of groups of objects
CONVENTIONS = [*(("iou", name) for name in ("dataset", "image_mean", "mean_iou", "smp_micro")),
               *(("dice", name) for name in ("dataset", "image_mean", "dice_score", "smp_micro"))]
FORMULAS = {"iou": ("IoU", "TP / (TP + FP + FN)"), "dice": ("Dice", "2 TP / (2 TP + FP + FN)"),
            "precision": ("precision", "TP / (TP + FP)"), "recall": ("recall", "TP / (TP + FN)"),
            "specificity": ("specificity", "TN / (TN + FP)"), "boundary_iou": ("boundary IoU", "IoU of the bands"),
            "pixel_accuracy": ("pixel accuracy", "(TP + TN) / all"), "nsd": ("NSD", "borders within the tolerance"),
            "iou_own": ("IoU at own size", "TP / (TP + FP + FN)"), "dice_own": ("Dice at own size", "2 TP / ..."),
            "hd95": ("HD95", "95th percentile of the distances between borders"),
            "overall_accuracy": ("overall accuracy", "share of pixels that are given their class"),
            "pixel_ap": ("pixel AP", "area under the precision-recall curve over pixels")}
AGGREGATIONS = {"dataset": "all pixels", "image_mean": "image mean"}


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


def definitions(study: Study) -> list[dict[str, Any]]:
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
