"""What every section of params.yaml has in common: unknown keys are refused, mistakes are said in one line each."""

import re
from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from seglib.names import nearest


class ParamsError(ValueError):
    """params.yaml cannot be used as it stands."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: Any) -> Any:
        known = list(cls.model_fields)
        for key in value if isinstance(value, dict) else ():
            if key not in known:
                raise PydanticCustomError("unknown_key", "unknown key '{key}': {hint}",
                                          {"key": key, "hint": nearest(str(key), known)})
        return value


def _unique(values: list) -> list:
    if len(set(values)) != len(values):
        raise PydanticCustomError("not_unique", "each entry may stand once, found {values}", {"values": values})
    return values


Once = AfterValidator(_unique)  # of a list: no entry stands twice


def explain(error: ValidationError, where: str = "") -> str:
    """One line a problem: the key's path, what is wrong with it, what was found."""
    return "\n".join(_line(item, where) for item in error.errors(include_url=False))


def _line(item: Any, where: str) -> str:
    path = [str(part) for part in item["loc"]]
    if path[:1] in (["datasets"], ["models"]) and len(path) > 2:
        del path[2]  # the tag of the union, which stands in no params.yaml
    if item["type"] == "union_tag_invalid":
        known = re.findall(r"'(\w+)'", item["ctx"]["expected_tags"])
        message = f"unknown kind '{item['ctx']['tag']}': {nearest(item['ctx']['tag'], known)}"
    else:
        message = item["msg"][:1].lower() + item["msg"][1:]
    if not isinstance(item["input"], dict) and "found" not in message:
        message += f" (found {item['input']!r})"
    return ": ".join(filter(None, [where, ".".join(path), message]))
