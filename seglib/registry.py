import dataclasses
import importlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Entry:
    path: str
    def load(self) -> Any:
        module, _, attribute = self.path.partition(":")
        return getattr(importlib.import_module(module), attribute)
def lookup(entries, name, what):
    from seglib.names import nearest
    if name not in entries:
        raise ValueError(f"unknown {what} {name!r}: {nearest(name, list(entries))}")
    return entries[name]
