"""The names of params.yaml and published.yaml that claims.yaml uses: each must be defined.

`resolve` checks them before anything is fetched or trained. A misspelt model would otherwise be a claim that no study
ever decides. The rest of claims.yaml is checked by `compare` (`seglib/comparison/claims.py`); what has another form
than a claim is left to it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from seglib.names import brief, nearest
from seglib.params import Params, ParamsError
from seglib.prediction import KINDS

SIDES = ("a", "b")


def check(path: Path, settings: Params) -> None:
    """Raises ParamsError, with one line per name that is not defined, which names the claim.

    The entries that claims name in `published` are those of published.yaml, in the same folder.
    """
    baselines = [name for name, kind in KINDS.items() if kind.baseline is not None]
    entries = path.with_name("published.yaml")
    printed = [name for name, _ in _items(_read(entries))] if entries.is_file() else []
    known = {"dataset": list(settings.datasets), "model": list(settings.models), "loss": list(settings.losses),
             "predictor": [*settings.predictors, *baselines], "published": printed}
    wrong = [f"{path.name}: {str(claim.get('id')):.80}: {_place(section)} {brief(name)}, "
             f"{nearest(name, known[section])}"
             for claim in _dicts(_read(path)) for section, name in dict.fromkeys(_names(claim))
             if section in known and name not in known[section]]
    if wrong:
        raise ParamsError("\n".join([*wrong, "Correct the name, or take the claim out"]))


def _read(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ParamsError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None


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
