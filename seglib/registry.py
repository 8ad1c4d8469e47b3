"""Registries: a name in a configuration stands for an entry, and the entry knows where its code is.

An entry imports its code when it is used. So a registry can be read without importing PyTorch or every entry's module.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

from seglib.names import brief, nearest


@dataclasses.dataclass(frozen=True)
class LazyEntry:
    """One entry of a registry. A registry whose entries declare more has a subclass.

    path: "package.module:attribute", or "package.module" if the entry is the module itself.
    """

    path: str

    def load(self) -> Any:
        """Import the module and return what `path` names."""
        module, _, attribute = self.path.partition(":")
        loaded = importlib.import_module(module)
        return getattr(loaded, attribute) if attribute else loaded


AnyEntry = TypeVar("AnyEntry", bound=LazyEntry)


def lookup(entries: Mapping[str, AnyEntry], name: str, what: str) -> AnyEntry:
    """Return the entry called `name`. Raises ValueError, with the nearest or all known names, if there is none.

    what: the kind of entry in words, for the error: "model kind".
    """
    if name not in entries:
        raise ValueError(f"unknown {what} {brief(name)}: {nearest(str(name), list(entries))}")
    return entries[name]
