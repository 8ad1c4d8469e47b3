"""Numbers and names as the page writes them. Text from data is escaped when it enters a sentence."""

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

NONE = "–"  # stands where there is no value
NAMED = 4  # up to this many variants are named one by one; more are counted


def number(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")


def a_seed(values: Iterable[float | None], digits: int = 0, *, percent: bool = False) -> Markup:
    """One number per line. The same line is the same seed in every column."""
    texts = [f"{number(100 * value, 0)} %" if percent and value is not None else number(value, digits)
             for value in values]
    return Markup("<br>").join(texts)


def signed(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:+.{digits}f}".replace("-", "−")


def brief(value: float | None) -> str:
    """Three significant digits at any scale, for quantities that are not shares."""
    if value is None:
        return NONE
    rounded = float(f"{value:.3g}")
    return (f"{rounded:,.0f}" if 1000 <= abs(rounded) < 1e7 else f"{rounded:.3g}").replace("-", "−")


def as_printed(value: float | None) -> str:
    """Four significant digits and all digits before the point, as sources print figures."""
    if value is None:
        return NONE
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}").replace("-", "−")


def probability(value: float | None) -> str:
    return NONE if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def interval(row: dict[str, Any], digits: int = 3) -> str:
    """"0.812 to 0.841", or "" if there is no interval."""
    return "" if row["low"] is None else f"{number(row['low'], digits)} to {number(row['high'], digits)}"


def with_interval(row: dict[str, Any], value: str = "mean", digits: int = 3) -> str:
    """"0.833 (0.812 to 0.841)"."""
    found = interval(row, digits)
    return number(row[value], digits) + (f" ({found})" if found else "")


def seeds_with(values: Sequence[float | None], digits: int = 3) -> str:
    """"seeds: 0.845, 0.855", or "seed: 0.845"."""
    return f"seed{'s' if len(values) > 1 else ''}: {', '.join(number(value, digits) for value in values)}"


def trainings(seeds: int, failed: int | None) -> str:
    """"5", or "5, 2 failed"."""
    return f"{seeds}, {failed} failed" if failed else f"{seeds}"


def name(label: str) -> Markup:
    """A variant's name in a sentence."""
    return Markup("<em>{}</em>").format(label)


def variants_named(labels: Sequence[str]) -> Markup:
    """The names of variants in a sentence, or how many there are if there are many."""
    return listed(map(name, labels)) if len(labels) <= NAMED else Markup(f"{len(labels)} variants")


def say(text: str, *values: Any) -> Markup:
    """The text as markup, its {} filled with escaped values."""
    return Markup(text).format(*values)


def listed(parts: Iterable[Any], word: str = "and") -> Markup:
    """"a, b and c", each escaped."""
    found: Sequence[Markup] = [escape(part) for part in parts]
    if len(found) < 2:
        return Markup("").join(found)
    return Markup("{}{}{}").format(Markup(", ").join(found[:-1]), ", " if word == "," else f" {word} ", found[-1])
