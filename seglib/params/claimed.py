"""The names of params.yaml and published.yaml that claims.yaml uses: each must be defined.

`resolve` checks them before anything is fetched or trained. Otherwise, a claim with a misspelt model would never be
decided. `compare` checks the rest of claims.yaml (`seglib/comparison/claims.py`), and entries that are no claims.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seglib.names import brief, nearest
from seglib.params import Params, ParamsError
from seglib.prediction import KINDS
from seglib.strict import read_yaml

SIDES = ("a", "b")


def check(path: Path, settings: Params) -> None:
    """Raise ParamsError, with one line per undefined name, which also names the claim.

    published.yaml, which defines the entries that claims name in `published`, lies in the same folder.
    """
    baselines = [name for name, kind in KINDS.items() if kind.baseline is not None]
    entries = path.with_name("published.yaml")
    printed = [name for name, _ in _items(read_yaml(entries))] if entries.is_file() else []
    known = {"dataset": list(settings.datasets), "model": list(settings.models), "loss": list(settings.losses),
             "predictor": [*settings.predictors, *baselines], "published": printed}
    wrong = [f"{path.name}: {str(claim.get('id')):.80}: {_place(section)} {brief(name)}, "
             f"{nearest(name, known[section])}"
             for claim in _dicts(read_yaml(path)) for section, name in dict.fromkeys(_names(claim))
             if section in known and name not in known[section]]
    if wrong:
        raise ParamsError("\n".join([*wrong, "Correct the name, or take the claim out"]))


def _place(section: str) -> str:
    return "published.yaml has no entry" if section == "published" else f"params.yaml has no {section}"


def _names(claim: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The section and the name of each mention in a claim."""
    if isinstance(claim.get("published"), str):
        yield "published", claim["published"]
    yield from (("dataset", name) for name in _texts(claim.get("datasets")))
    for place in (claim, *_dicts(claim.get("parts"))):
        for section, names in _items(place.get("each")):
            yield from ((section, name) for name in _texts(names))
        for side in SIDES:
            yield from ((section, name) for section, name in _items(place.get(side)) if isinstance(name, str))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _texts(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
