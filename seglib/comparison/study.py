"""The tables of one comparison, for facts about it: the variants, their scores and what their pairs decided."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

import pandas as pd

from seglib.comparison.tables import json_rows
from seglib.metrics.scores import HEADLINE

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """The tables of a comparison, and what is looked up in them most often."""

    tables: Mapping[str, pd.DataFrame]
    configs: dict[str, dict[str, Any]]
    """The configurations of the trained variants, by label, the highest mean first"""
    names: dict[str, list[tuple[str, str]]]
    """The pairs (model, loss) that are this variant, by its label"""
    ranked: dict[str, Row]
    """The ranking's rows that have a mean, by variant, the highest first"""
    too_few_seeds: set[str]
    scores: dict[tuple[str, str], Row]
    """The rows of test scores, by variant and score"""
    failed: set[str]
    """The variants with failed trainings"""
    pairs: dict[str, dict[frozenset[str], Row]]
    """The pairs of variants for each score; `a` is the variant with the better mean"""

    @classmethod
    def of(cls, summary: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> Self:
        scores = tables["scores"]
        ranking = json_rows(tables["ranking"])
        ordered = dict.fromkeys([row["variant"] for row in ranking] + scores["variant"].tolist())
        return cls(tables=tables,
                   configs={variant: summary["configs"][variant] for variant in ordered
                            if variant not in summary["seedless"]},
                   names=summary["names"],
                   ranked={row["variant"]: row for row in ranking if row["mean"] is not None},
                   too_few_seeds={row["variant"] for row in ranking if not row["enough_seeds"]},
                   failed={row["variant"] for row in ranking if row["failed"]},
                   scores={(row["variant"], row["score"]): row
                           for row in json_rows(scores[scores["split"] == "test"])},
                   pairs={score: {frozenset((row["a"], row["b"])): row for row in json_rows(of)}
                          for score, of in tables["pairs"].groupby("score", sort=False)})

    def groups(self, *fixed: str) -> list[list[str]]:
        """The trained variants in groups that share the named parts of their configuration. No group has only one."""
        groups: dict[str, list[str]] = {}
        for variant, config in self.configs.items():
            groups.setdefault(json.dumps([config[part] for part in fixed], sort_keys=True), []).append(variant)
        return [group for group in groups.values() if len(group) > 1]

    def losses_on_one_model(self) -> list[list[str]]:
        """Groups of variants that differ in nothing but the loss."""
        return self.groups("model", "train")

    def models_with_one_loss(self) -> list[list[str]]:
        """Groups of variants of several models, each with the training that its name stands for, and one loss."""
        return [group for group in self.groups("loss") if len(set(map(self.model, group))) > 1]

    def model(self, variant: str) -> str:
        """The model's name; of a variant with several names, the first."""
        return self.names[variant][0][0]

    def loss(self, variant: str) -> str:
        return self.names[variant][0][1]

    def pair(self, a: str, b: str) -> Row | None:
        """The headline's difference of two variants, in whichever order it is listed."""
        return self.headline_pairs.get(frozenset((a, b)))

    @property
    def headline_pairs(self) -> dict[frozenset[str], Row]:
        return self.pairs.get(HEADLINE.name, {})

    def pairs_among(self, variants: Iterable[str], score: str) -> list[Row]:
        """The pairs of these variants under a score."""
        pairs = self.pairs.get(score, {})
        return [pairs[both] for both in map(frozenset, itertools.combinations(variants, 2)) if both in pairs]
