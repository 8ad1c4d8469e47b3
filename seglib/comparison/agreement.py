"""Verdicts on published figures: whether the results at hand agree with published.yaml.

A figure agrees if the mean of our seeds lies within its tolerance, which was stated beforehand; otherwise it differs.
It is not comparable if our data, our recipe or our trainings are not the source's; the row says which.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seglib.comparison.published import DataFigure, Figure, Recipe, Reproduction, Value
from seglib.comparison.published_values import COUNTS, DATA, DATA_TITLES, TRAINED, Data
from seglib.comparison.variants import Variant
from seglib.configs import NEUTRAL, PrepareConfig
from seglib.metrics.decisions import over_seeds
from seglib.metrics.scores import BY_NAME

AGREES, DIFFERS, NOT_COMPARABLE = "agrees", "differs", "not comparable"
GENERATED = "generated data"
ROUNDING = 1e-9  # of the subtraction of two numbers
Row = dict[str, Any]
Estimate = tuple[float, float | None, float | None]  # mean, low, high
NOTHING = float("nan"), None, None


def judge(entries: Mapping[str, Reproduction], dataset: str, variants: Sequence[Variant], data: Data,
          prepare: PrepareConfig) -> list[Row]:
    """The table of each reproduction on this dataset that names a variant at hand: {name, title, source, rows}."""
    there = {name for variant in variants for name in variant.names}
    return [{"name": name, "title": entry.title, "source": entry.source,
             "rows": [*data_rows(entry, data, because=other_data(entry, data)),
                      *_figure_rows(entry, variants, data, prepare)]}
            for name, entry in entries.items() if entry.dataset == dataset and entry.variants() & there]


def other_data(entry: Reproduction, data: Data) -> str | None:
    """Why these are not the published data: they are generated, or their number is another. None if they may be."""
    if data.generated:
        return GENERATED
    different = [f"{ours:,} {DATA_TITLES[figure.quantity]}, not {figure.value:,.0f}" for figure in entry.data.values()
                 if figure.quantity in COUNTS
                 and abs((ours := COUNTS[figure.quantity](data)) - figure.value) > figure.tolerance]
    return "other data: " + ", ".join(different) if different else None


def data_rows(entry: Reproduction, data: Data, *, because: str | None) -> list[Row]:
    """One row per published number about the data. because: why none of them is comparable, if so."""
    return [_row(name, figure, figure.value, _data_title(figure), "data",
                 (DATA[figure.quantity](data, figure.of), None, None), seeds=None,
                 because=figure.not_comparable or because) for name, figure in entry.data.items()]


def _data_title(figure: DataFigure) -> str:
    return DATA_TITLES[figure.quantity] + (f": {figure.of}" if figure.of is not None else "")


def _figure_rows(entry: Reproduction, variants: Sequence[Variant], data: Data, prepare: PrepareConfig) -> list[Row]:
    rows = []
    because = other_data(entry, data) or _differences(entry.recipe.dataset, _dataset_keys(prepare), "datasets.*.")
    for name, figure in entry.figures.items():
        models = [figure.model, figure.minus] if figure.minus is not None else [figure.model]
        names = [(figure.predictor, "")] if figure.predictor is not None else [(one, figure.loss) for one in models]
        found = [_find(variants, one) for one in names]
        missing = [" ".join(one).strip() for one, variant in zip(names, found, strict=True) if variant is None]
        side = " − ".join(", ".join(filter(None, one)) for one in names)
        for when, value in figure.points().items():
            ours = [] if missing else [_values_S(variant, figure, when, data) for variant in found]
            reason = figure.not_comparable or because or ("not run: " + " and ".join(missing) if missing else None)
            if reason is None and figure.predictor is None:
                reason = _other_recipe(entry.recipe, names, found, figure, when)
            rows.append(_row(name if when is None else f"{name}@{when}", figure, value, _title(figure, when), side,
                             over_seeds(*ours) if ours else NOTHING, seeds=_seeds(found, ours), because=reason))
    return rows


def _find(variants: Sequence[Variant], name: tuple[str, str]) -> Variant | None:
    return next((variant for variant in variants if name in variant.names), None)


def _title(figure: Figure, when: int | None) -> str:
    if figure.quantity not in TRAINED:
        return f"test {BY_NAME[figure.quantity].title}"
    text = TRAINED[figure.quantity].title.format(when)
    return text + (f", over that at {figure.share_of}" if figure.share_of is not None else "")


def _values_S(variant: Variant, figure: Figure, when: int | None, data: Data) -> np.ndarray:
    """The figure of each seed that has it."""
    if figure.quantity not in TRAINED:
        values_S = variant.scores_S("test", figure.quantity)
    else:
        of = TRAINED[figure.quantity].of
        values_S = np.array([of(result, when, data) for result in variant.results])
        if figure.share_of is not None:
            values_S = values_S / [of(result, figure.share_of, data) for result in variant.results]
    return values_S[np.isfinite(values_S)]


def _seeds(found: Sequence[Variant | None], ours: Sequence[np.ndarray]) -> int | None:
    """The smallest number of seeds among the sides; None if nothing has seeds."""
    counts = [len(values_S) for variant, values_S in zip(found, ours, strict=False) if variant.seeds is not None]
    return min(counts) if counts else None


def _other_recipe(recipe: Recipe, names: Sequence[tuple[str, str]], found: Sequence[Variant], figure: Figure,
                  when: int | None) -> str | None:
    """Which keys of our trainings are not the source's; None if all that are known are."""
    for (model, loss), variant in zip(names, found, strict=True):
        config = variant.config
        train = config["train"] | (config["train"]["augment"] or NEUTRAL.content())
        wanted = {key: value for key, value in recipe.train_of(model).items()
                  if key not in _decides_nothing(train, figure, when)}
        arguments = {key: value for key, value in recipe.models[model].items() if key != "train"}
        for keys, ours, where in ((wanted, train, "train."), (arguments, config["model"], f"models.{model}."),
                                  (recipe.losses[loss], config["loss"], f"losses.{loss}.")):
            if different := _differences(keys, ours, where):
                return different
    return None


def _decides_nothing(train: Mapping[str, Any], figure: Figure, when: int | None) -> set[str]:
    """Keys that say how long a training is, if the figure is of a moment that comes out the same in a shorter one.

    Only a constant rate does not depend on the length. A shortened epoch shows the first pictures of the full one, so
    all iterations of the first epoch are the same.
    """
    if figure.quantity not in TRAINED or train["schedule"] != "constant":
        return set()
    shown = train["pictures_per_epoch"]
    if (TRAINED[figure.quantity].counted_in == "iteration" and shown is not None
            and when * train["batch_size"] <= shown):
        return {"epochs", "pictures_per_epoch"}
    return {"epochs"}


def _dataset_keys(prepare: PrepareConfig) -> dict[str, Any]:
    """The dataset's own keys in params.yaml."""
    return prepare.content() | prepare.options


def _differences(wanted: Mapping[str, Any], ours: Mapping[str, Any], where: str) -> str | None:
    """Keys whose value is another than wanted: "train.epochs is 2, not 6"."""
    return ", ".join(f"{where}{key} is {ours.get(key)}, not {value}" for key, value in wanted.items()
                     if ours.get(key) != value) or None


def _row(name: str, figure: Value, value: float, title: str, side: str, ours: Estimate, *, seeds: int | None,
         because: str | None) -> Row:
    mean, low, high = ours
    is_known = bool(np.isfinite(mean))
    if because is None and not is_known:
        because = "the results at hand have no such value"
    agrees = is_known and abs(mean - value) <= figure.tolerance + ROUNDING
    return {"id": name, "quantity": title, "of": side, "published": value, "tolerance": figure.tolerance,
            "reason": figure.reason, "definition": figure.definition, "ours": mean if is_known else None, "low": low,
            "high": high, "seeds": seeds, "because": because,
            "verdict": NOT_COMPARABLE if because is not None else AGREES if agrees else DIFFERS}
