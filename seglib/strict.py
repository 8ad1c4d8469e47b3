"""What every section of params.yaml has in common: unknown keys are refused, mistakes are said in one line each."""

import re
from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML, YAMLError

from seglib.names import brief, nearest

MOST_LINES = 12  # of what is wrong, at once
LONGEST_NAME = 64  # characters: three of them, a seed and an ending are a file's name, for which 255 bytes are the most

# The message for each of pydantic's kinds of errors. Names in braces are keys of the error's context.
KEYS = "expected keys and their values"
WORDS = {
    "missing": "this key is missing", "union_tag_not_found": "the key kind is missing",
    "extra_forbidden": "unknown key",
    "int_type": "expected a whole number", "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number", "float_type": "expected a number", "float_parsing": "expected a number",
    "finite_number": "expected a finite number", "string_type": "expected text", "list_type": "expected a list",
    "string_unicode": "expected text", "bool_type": "expected true or false", "bool_parsing": "expected true or false",
    "dict_type": KEYS, "model_type": KEYS, "model_attributes_type": KEYS,
    "literal_error": "expected {expected}", "multiple_of": "expected a multiple of {multiple_of}",
    "greater_than": "expected more than {gt}", "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}", "less_than_equal": "expected at most {le}",
    "too_short": "expected at least {min_length}, found {actual_length}",
    "too_long": "expected at most {max_length}, found {actual_length}",
    "string_too_short": "expected a text that is not empty",
    "string_too_long": "expected a text of at most {max_length} characters",
}


class ParamsError(ValueError):
    """params.yaml cannot be used as it stands."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file of the repository. Raises ParamsError if it is not YAML, or not text in UTF-8."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None


def as_yaml(value: Any) -> str:
    """A value, a list or an object in one line of YAML, as DVC's options write it."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {as_yaml(of)}' for key, of in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_yaml, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: Any) -> Any:
        known = list(cls.model_fields)
        for key in value if isinstance(value, dict) else ():
            if key not in known:
                raise PydanticCustomError("unknown_key", "unknown key {key}: {hint}",
                                          {"key": brief(key), "hint": nearest(str(key), known)})
        return value


def _unique(values: list) -> list:
    if len(set(values)) != len(values):
        raise PydanticCustomError("not_unique", "each entry may stand once, found {values}", {"values": brief(values)})
    return values


Once = AfterValidator(_unique)  # of a list: no entry stands twice


def expected(what: str) -> WrapValidator:
    """Set the error message of a value that may have several forms, for a value that has none of them."""
    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("expected", "expected {what}, found {value}",
                                      {"what": what, "value": brief(value)}) from None
    return WrapValidator(check)


def _on_one_line(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("text", "expected text on one line, without control characters, found {text}",
                                  {"text": brief(text)})
    return text


Text = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_on_one_line)]  # a path, or a class's name


def _kind_is_text(value: Any) -> Any:
    if isinstance(value, dict) and "kind" in value and not isinstance(value["kind"], str):  # else printed whole
        raise PydanticCustomError("kind", "kind: expected a name, found {kind}", {"kind": brief(value["kind"])})
    return value


OfAKind = BeforeValidator(_kind_is_text)  # of a union that `kind` tells apart


def explain(error: ValidationError, where: str = "", *, tags: Container[str] = ()) -> str:
    """One line per problem: the key's path, what is wrong with it, what was found.

    tags: the kinds of predictors, which pydantic puts into paths if they are a union.
    """
    lines = [_line(item, where, tags) for item in error.errors(include_url=False)]
    rest = [f"and {len(lines) - MOST_LINES} more like these"] if len(lines) > MOST_LINES else []
    return "\n".join(lines[:MOST_LINES] + rest)


def _line(item: Any, where: str, tags: Container[str]) -> str:
    path = [part if isinstance(part, str) and part.isprintable() and len(part) <= LONGEST_NAME else brief(part)
            for part in item["loc"]]
    if len(path) > 2 and (path[0] in ("datasets", "models") or (path[0] == "predictors" and path[2] in tags)):
        del path[2]  # the tag of the union, which stands in no params.yaml
    if path[-1:] == ["[key]"]:  # pydantic's mark of a mistake in a key
        path.pop()
    if item["type"] == "union_tag_invalid":
        known = re.findall(r"'(\w+)'", item["ctx"]["expected_tags"])
        message = f"unknown kind {brief(item['ctx']['tag'])}: {nearest(item['ctx']['tag'], known)}"
    elif item["type"] in WORDS:
        message = WORDS[item["type"]].format(**{name: _shown(value) for name, value in item.get("ctx", {}).items()})
    else:
        message = item["msg"][:1].lower() + item["msg"][1:]
    if not isinstance(item["input"], dict) and "found" not in message:
        message += f" (found {brief(item['input'])})"
    return ": ".join(filter(None, [where, ".".join(path), message]))


def _shown(value: Any) -> Any:
    """A whole number as one, whatever its type."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
