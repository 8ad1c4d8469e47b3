"""Verdicts on published figures: whether the results at hand agree with published.yaml.

A figure agrees if the mean of our seeds lies within its tolerance, which was stated beforehand; otherwise it differs.
It is not comparable if our data, our recipe or our trainings are not the source's; the row says which. `verdicts` makes
the same checks for the claims of sources.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from seglib.comparison.published import Figure, Recipe, Reproduction, Value
from seglib.comparison.published_values import DATA, DATA_TITLES, STRUCTURE, TRAINED, Data
from seglib.comparison.variants import Variant
from seglib.configs import NEUTRAL, PrepareConfig
from seglib.metrics.inference import Blocks, of_difference, of_score
from seglib.metrics.scores import BY_NAME
from seglib.strict import as_yaml

AGREES, DIFFERS, NOT_COMPARABLE = "agrees", "differs", "not comparable"
GENERATED = "generated data"
ROUNDING = 1e-9  # error of a subtraction
LENGTH = {"epochs", "pictures_per_epoch"}  # the keys of train that decide the length of a training
Row = dict[str, Any]
Estimate = tuple[float, float | None, float | None]  # mean, low, high
NOTHING: Estimate = (float("nan"), None, None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """The experiments of the sources, and the data at hand."""

    entries: Mapping[str, Reproduction]
    dataset: str
    data: Data
    prepare: PrepareConfig

    def other_data(self, entry: Reproduction) -> str | None:
        """How the prepared data differ from those of an experiment; None if no difference is known."""
        if entry.dataset != self.dataset:
            return f"the data are {self.dataset}, not {entry.dataset}"
        ours = self.prepare.content() | self.prepare.options  # the dataset's own keys in params.yaml
        return other_data(entry, self.data) or _differences(entry.recipe.dataset, ours, f"datasets.{self.dataset}.")


def judge(sources: Sources, variants: Sequence[Variant]) -> list[Row]:
    """One table per reproduction that has a variant in this study: {name, title, source, rows}."""
    there = {name for variant in variants for name in variant.names}
    return [{"name": name, "title": entry.title, "source": entry.source,
             "rows": [*data_rows(entry, sources.data, because=other_data(entry, sources.data)),
                      *_figure_rows(entry, variants, sources)]}
            for name, entry in sources.entries.items()
            if entry.dataset == sources.dataset and entry.variants() & there]


def other_data(entry: Reproduction, data: Data) -> str | None:
    """How the data differ from the published ones; None if no difference is known.

    They are generated, or their number, size or classes are others.
    """
    if data.generated:
        return GENERATED
    different = [f"{DATA_TITLES[figure.quantity]}: {ours:,}, not {figure.value:,.0f}" for figure in entry.data.values()
                 if figure.quantity in STRUCTURE
                 and abs((ours := STRUCTURE[figure.quantity](data)) - figure.value) > figure.tolerance]
    return "other data (" + "; ".join(different) + ")" if different else None


def data_rows(entry: Reproduction, data: Data, *, because: str | None) -> list[Row]:
    """One row per published number about the data. because: the reason if none of them is comparable."""
    return [_row(name, figure, figure.value, DATA_TITLES[figure.quantity], "data",
                 (DATA[figure.quantity](data), None, None), seeds=None, because=figure.not_comparable or because)
            for name, figure in entry.data.items()]


def _figure_rows(entry: Reproduction, variants: Sequence[Variant], sources: Sources) -> list[Row]:
    rows = []
    because = sources.other_data(entry)
    for name, figure in entry.figures.items():
        models = [figure.model, figure.minus] if figure.minus is not None else [figure.model]
        names = [(figure.predictor, "")] if figure.predictor is not None else [(one, figure.loss) for one in models]
        found = [_find(variants, one) for one in names]
        missing = [" ".join(one).strip() for one, variant in zip(names, found, strict=True) if variant is None]
        side = " − ".join(", ".join(filter(None, one)) for one in names)
        for when, value in figure.points().items():
            ours = [] if missing else [_values_S(variant, figure, when, sources.data) for variant in found]
            reason = figure.not_comparable or because or ("not run: " + " and ".join(missing) if missing else None)
            if reason is None and figure.predictor is None:
                reason = _other_training(entry.recipe, dict(zip(names, found, strict=True)), figure, when,
                                         has_values=all(map(len, ours)))
            rows.append(_row(name if when is None else f"{name}@{when}", figure, value, _title(figure, when), side,
                             _over_seeds(ours, found) if ours else NOTHING, seeds=_seeds(found, ours), because=reason))
    return rows


def _over_seeds(ours: Sequence[np.ndarray], found: Sequence[Variant]) -> Estimate:
    """The mean over seeds of one side, or the difference of two, with the interval that other seeds would give."""
    blocks = [Blocks.from_values(values_S, variant.seeds is not None)
              for values_S, variant in zip(ours, found, strict=True)]
    estimate = of_difference(*blocks, np.inf) if len(blocks) > 1 else of_score(*blocks, np.inf, lowest=-np.inf)
    low, high = map(float, estimate.interval())
    return float(estimate.value), *((low, high) if np.isfinite([low, high]).all() else (None, None))


def _find(variants: Sequence[Variant], name: tuple[str, str]) -> Variant | None:
    return next((variant for variant in variants if name in variant.names), None)


def _title(figure: Figure, when: int | None) -> str:
    if figure.quantity not in TRAINED:
        return f"test {BY_NAME[figure.quantity].title}"
    text = TRAINED[figure.quantity].title.format(when)
    return text + (f", over that at {figure.share_of}" if figure.share_of is not None else "")


def _values_S(variant: Variant, figure: Figure, when: int | None, data: Data) -> np.ndarray:
    """The value of each seed that has one."""
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


def _other_training(recipe: Recipe, found: Mapping[tuple[str, str], Variant], figure: Figure, when: int | None, *,
                    has_values: bool) -> str | None:
    """Which keys of our trainings differ from the source's, or when ours ended; None if no difference is known."""
    counted_in = TRAINED[figure.quantity].counted_in if figure.quantity in TRAINED else None
    different = next(filter(None, (other_recipe(recipe, name, variant.config, counted_in=counted_in, when=when)
                                   for name, variant in found.items())), None)
    if counted_in is None or has_values:
        return different
    ended = min(int(result.history[counted_in].max()) for variant in found.values() for result in variant.results)
    if ended < when and not any(_different_keys(recipe, name, variant.config, LENGTH)
                                for name, variant in found.items()):
        return f"the training ended at {counted_in} {ended:,}"
    return different


def other_recipe(recipe: Recipe, name: tuple[str, str], config: Mapping[str, Any], *, counted_in: str | None = None,
                 when: int | None = None) -> str | None:
    """Which keys of a training differ from the source's: "train.epochs is 2, not 6"; None if no difference is known.

    Args:
        name: the model and the loss, as the recipe names them.
        config: of our training, as `TrainConfig` writes it.
        counted_in, when: "epoch" or "iteration", and its number, if the result depends on nothing after it.
    """
    return _different_keys(recipe, name, config, _decides_nothing(settings_of(config), counted_in, when))


def _different_keys(recipe: Recipe, name: tuple[str, str], config: Mapping[str, Any],
                    but: Collection[str]) -> str | None:
    """`other_recipe` without some keys of train."""
    model, loss = name
    if model not in recipe.models or loss not in recipe.losses:
        return f"the recipe has no {model} {loss}"
    wanted = {key: value for key, value in recipe.train_of(model).items() if key not in but}
    arguments = {key: value for key, value in recipe.models[model].items() if key != "train"}
    return (_differences(wanted, settings_of(config), "train.")
            or _differences(arguments, config["model"], f"models.{model}.")
            or _differences(recipe.losses[loss], config["loss"], f"losses.{loss}."))


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a training, with those of its augmentation."""
    return config["train"] | (config["train"]["augment"] or NEUTRAL.content())


def _decides_nothing(train: Mapping[str, Any], counted_in: str | None, when: int | None) -> set[str]:
    """The keys of a training's length that do not change a result at an iteration or an epoch.

    Only a constant rate does not depend on the length. A shortened epoch shows the first pictures of the full one, so
    all iterations of the first epoch are the same.
    """
    if counted_in is None or train["schedule"] != "constant":
        return set()
    shown = train["pictures_per_epoch"]
    return LENGTH if counted_in == "iteration" and shown is not None and when * train["batch_size"] <= shown else {
        "epochs"}


def _differences(wanted: Mapping[str, Any], ours: Mapping[str, Any], where: str) -> str | None:
    """The keys whose values differ from the wanted ones: "train.epochs is 2, not 6"."""
    return ", ".join(f"{where}{key} is {as_yaml(ours.get(key))}, not {as_yaml(value)}" for key, value in wanted.items()
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
