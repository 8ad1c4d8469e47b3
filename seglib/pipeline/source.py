"""What of one module counts for a fingerprint: of its registries and classes, only what a consumer uses."""

import ast
import copy
import dataclasses
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Self

from seglib.pipeline.normal_form import NormalForm, is_docstring, is_string


@dataclasses.dataclass(frozen=True)
class Used:
    """What a consumer uses of one module. What is not mentioned here counts.

    classes: the classes at the module's top that count, beside those that counted code mentions. None: all count.
    entries: of each registry, by its name in the module, the entries that count.
    """

    classes: frozenset[str] | None = None
    entries: tuple[tuple[str, frozenset[str]], ...] = ()

    def with_classes(self, names: Collection[str]) -> Self:
        """The same, with more classes."""
        return dataclasses.replace(self, classes=(self.classes or frozenset()).union(names))

    def with_entries(self, registry: str, names: Collection[str]) -> Self:
        """The same, with the entries of one more registry."""
        return dataclasses.replace(self, entries=(*self.entries, (registry, frozenset(names))))


@dataclasses.dataclass(frozen=True)
class Counted:
    """What counts of one module.

    sha256: of its normal form, 64 hex digits.
    names: all dotted names that may be modules that it imports, at once or when a function runs.
    """

    sha256: str
    names: frozenset[str]


class Source:
    """One module, parsed once. `name` is its dotted name. Raises ValueError if the file is not Python."""

    def __init__(self, path: Path, name: str):
        try:
            self._body = ast.parse(path.read_bytes()).body
        except SyntaxError as error:
            raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None
        self._name = name
        self._is_package = path.name == "__init__.py"
        self._known: dict[tuple[Used, bool], Counted] = {}

    @property
    def classes(self) -> frozenset[str]:
        """The names of the classes at the module's top."""
        return frozenset(statement.name for statement in self._body if isinstance(statement, ast.ClassDef))

    def counted(self, used: Used, *, messages: bool) -> Counted:
        """What counts of the module for one consumer.

        messages: whether the texts of messages count. Raises ValueError if `used` names what the module does not have.
        """
        if (used, messages) not in self._known:
            self._known[used, messages] = self._count(used, messages)
        return self._known[used, messages]

    def _count(self, used: Used, messages: bool) -> Counted:
        try:
            body = _used_classes(_used_entries(self._body, dict(used.entries)), used.classes)
        except LookupError as error:
            raise ValueError(f"{self._name} has no {error.args[0]}") from None
        form = NormalForm(self._name if self._is_package else self._name.rpartition(".")[0], messages=messages)
        form.add(body)
        names = form.names | (set(self._submodules(body)) if self._is_package else set())
        return Counted(hashlib.sha256("".join(form.parts).encode()).hexdigest(), frozenset(names))

    def _submodules(self, body: list[ast.stmt]) -> Iterator[str]:
        """The names in a package's tuples and lists: such a name may stand for the submodule of this name."""
        for statement in body:
            if _assigned(statement) and isinstance(statement.value, ast.Tuple | ast.List):
                for text in filter(is_string, statement.value.elts):
                    yield f"{self._name}.{text.value}"


def _used_entries(body: list[ast.stmt], entries: Mapping[str, frozenset[str]]) -> list[ast.stmt]:
    """The statements of a module, with no more than the used entries in its registries.

    Raises LookupError for a registry or an entry that does not exist.
    """
    statements = {_assigned(statement): statement for statement in body}
    replaced = {}
    for name, used in entries.items():
        if name not in statements:
            raise LookupError(f"registry {name}")
        registry = copy.copy(statements[name])
        registry.value, found = _only(registry.value, used)
        if missing := sorted(used - found):
            raise LookupError(f"entry {missing[0]!r} in {name}")
        replaced[statements[name]] = registry
    return [replaced.get(statement, statement) for statement in body]


def _only(value: ast.expr, used: frozenset[str]) -> tuple[ast.expr, set[str]]:
    """A registry without the entries that are not used, and the names of those that are left.

    A registry is a dict with texts as its keys, or a tuple or list of texts. Raises LookupError for anything else.
    """
    found: set[str] = set()

    def keeps(entry: ast.expr | None) -> bool:
        name = entry.value if is_string(entry) else None
        if name in used:
            found.add(name)
        return name is None or name in used

    match value:
        case ast.Dict(keys, values):
            pairs = [pair for pair in zip(keys, values, strict=True) if keeps(pair[0])]
            return ast.Dict([key for key, _ in pairs], [value for _, value in pairs]), found
        case ast.Tuple(elements) | ast.List(elements):
            return type(value)([element for element in elements if keeps(element)]), found
    raise LookupError("registry with entries that can be told apart")


def _used_classes(body: list[ast.stmt], named: frozenset[str] | None) -> list[ast.stmt]:
    """The statements of a module, without the classes that are neither named nor mentioned by what is left."""
    if named is None:
        return body
    classes = {statement.name: statement for statement in body if isinstance(statement, ast.ClassDef)}
    if missing := sorted(named - set(classes)):
        raise LookupError(f"class {missing[0]}")
    waiting = [statement for statement in body if not isinstance(statement, ast.ClassDef)]
    waiting += [classes[name] for name in named]
    kept = set(map(id, waiting))
    while waiting:
        for name in _mentioned(waiting.pop()) & set(classes):
            if id(classes[name]) not in kept:
                kept.add(id(classes[name]))
                waiting.append(classes[name])
    return [statement for statement in body if id(statement) in kept]


def _mentioned(node: ast.AST) -> set[str]:
    """The names in a piece of code, those in its texts too: an annotation may be a text."""
    names = set()
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.Name):
            names.add(inner.id)
        elif is_string(inner):
            names.update(re.findall(r"\w+", inner.value))
        if not is_docstring(inner):
            names |= _mentioned(inner)
    return names


def _assigned(statement: ast.stmt) -> str | None:
    """The name to which a statement assigns, if there is one such name."""
    match statement:
        case ast.Assign([ast.Name(name)]) | ast.AnnAssign(ast.Name(name), _, ast.expr()):
            return name
    return None
