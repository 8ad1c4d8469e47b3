"""One dataset's comparison as read from `comparisons/<dataset>/`: tables, claims, published figures, gallery."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd

from seglib.files import read_json

# Columns of names and versions, which are read as text. Otherwise pandas would read a class called "None" as missing,
# and a version "2.10" as the number 2.1.
NAMES = ("variant", "class", "a", "b", "group", "truth", "predicted", "gpu", "torch", "numpy", "pillow", "seglib",
         "fingerprint")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` wrote about one dataset. Each table is the file of its name; its header names the columns."""

    folder: Path
    summary: dict[str, Any]
    findings: dict[str, Any]
    coursework: dict[str, Any] | None  # None if the coursework did not study this dataset
    munet: dict[str, Any] | None  # None if no mUnet was trained
    claims: list[dict[str, Any]]
    published: list[dict[str, Any]]
    gallery: dict[str, Any]
    scores: pd.DataFrame
    ranking: pd.DataFrame
    classes: pd.DataFrame
    pairs: pd.DataFrame
    groups: pd.DataFrame
    confusion: pd.DataFrame
    curves: pd.DataFrame
    trainings: pd.DataFrame
    dice_names: pd.DataFrame
    gradients: pd.DataFrame
    seed_scores: pd.DataFrame
    seed_classes: pd.DataFrame
    provenance: pd.DataFrame
    conventions: pd.DataFrame
    reversals: pd.DataFrame

    @property
    def dataset(self) -> str:
        return self.summary["dataset"]

    @property
    def headline(self) -> str:
        return self.summary["headline"]

    @property
    def exclusive(self) -> bool:
        """Whether a pixel has one class and no more."""
        return self.summary["exclusive"]

    @property
    def variants(self) -> list[str]:
        """By the mean of the headline score, the highest first; then variants without a score, then the baselines."""
        return list(dict.fromkeys([*self.ranking["variant"], *self.scores["variant"]]))

    @property
    def compared(self) -> list[str]:
        """All variants but the baselines, in the order of `variants`."""
        return [variant for variant in self.variants if variant not in self.summary["baselines"]]

    @property
    def many_seeds(self) -> bool:
        """Whether any variant was trained more than once."""
        return bool((self.scores["seeds"] > 1).any())

    def by_seed(self, variant: str, split: str = "test", score: str | None = None) -> list[float | None]:
        """A score of each seed, the headline score unless told; nothing of a variant that has no seeds."""
        return [row[score or self.headline] for row in self._seed_rows.get((variant, split), ())]

    def class_by_seed(self, variant: str, split: str, name: str) -> list[float | None]:
        """The headline score of a class, of each seed."""
        return [row[self.headline] for row in self._seed_class_rows.get((variant, split, name), ())]

    def score(self, variant: str, name: str, split: str = "test") -> dict[str, Any] | None:
        """mean, sd, low, high, seeds, images of one score, None where empty; None for a score that is not there."""
        return self._score_rows.get((variant, split, name))

    def headline_pairs(self, score: str | None = None) -> list[dict[str, Any]]:
        """Every pair of variants on a score, the better one first."""
        return records(self.pairs[self.pairs["score"] == (score or self.headline)])

    def pair(self, a: str, b: str) -> dict[str, Any] | None:
        """The headline's difference of two variants, in whichever order it is listed."""
        return next((row for row in self.headline_pairs() if {row["a"], row["b"]} == {a, b}), None)

    def definition(self, score: str) -> dict[str, Any]:
        """What summary.json says of a score: name, title, heading, base, formula, unit, better, digits, tables."""
        return self._definitions[score]

    def of_table(self, table: str) -> list[dict[str, Any]]:
        """The definitions of the scores that a table of the page shows, in its order."""
        return [score for score in self.summary["scores"] if table in score["tables"]]

    def __post_init__(self):
        rows = {(row["variant"], row["split"], row["score"]): row for row in records(self.scores)}
        object.__setattr__(self, "_score_rows", rows)
        object.__setattr__(self, "_seed_rows", _by(self.seed_scores, "variant", "split"))
        object.__setattr__(self, "_seed_class_rows", _by(self.seed_classes, "variant", "split", "class"))
        object.__setattr__(self, "_definitions", {score["name"]: score for score in self.summary["scores"]})


def read(folder: Path) -> Comparison:
    tables = folder / "tables"
    frames = {field.name: _csv(tables / f"{field.name}.csv") for field in dataclasses.fields(Comparison)
              if field.type is pd.DataFrame}
    summary = read_json(tables / "summary.json")
    return Comparison(folder=folder, summary=summary, findings=read_json(tables / "findings.json"),
                      coursework=read_json(tables / "coursework.json") if summary["coursework"] else None,
                      munet=read_json(tables / "munet.json"), claims=read_json(tables / "claims.json"),
                      published=read_json(tables / "published.json"),
                      gallery=read_json(folder / "gallery" / "gallery.json"),
                      **frames)


def _csv(path: Path) -> pd.DataFrame:
    types = dict.fromkeys(NAMES, object) | {"seed": "Int64", "failed": "Int64"}
    return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])


def _by(seeds: pd.DataFrame, *columns: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """The rows of variants that have seeds, by their values in these columns."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in records(seeds[seeds["seed"].notna()]):
        found.setdefault(tuple(row[column] for column in columns), []).append(row)
    return found


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as plain values, empty cells as None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")

