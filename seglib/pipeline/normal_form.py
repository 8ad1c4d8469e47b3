"""The normal form of Python code: what is left of it without comments, formatting and docstrings.

It leaves out the texts of messages too, unless `messages` is set. So an edit of these leaves the normal form as it is,
and any other edit changes it.
"""

import ast
import importlib.util
import re
from collections.abc import Iterable, Iterator

# The functions that only say something to the person at the terminal, as their calls are written.
SAYING = frozenset({"print", "progress.say", "warnings.warn", "typer.echo"})

# Functions and methods that only make words or numbers of their arguments. In a message they do not count. Any
# other call in a message counts, because it may do more.
WORDING = frozenset({"abs", "ascii", "brief", "explain", "float", "format", "int", "len", "list", "max", "min",
                     "nearest", "repr", "round", "sorted", "str", "sum", "tuple", "type"})

# A text that may name what is imported when it is used: "package.module" or "package.module:attribute".
_MODULE = re.compile(r"\w+(\.\w+)+(:\w+)?")

# Fields of the syntax tree that say what the other fields say already, or that say nothing.
_REDUNDANT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


class NormalForm:
    """The normal form of statements that are added one after another.

    package: in which the statements are; relative imports start there. messages: whether the texts of messages count.

    parts: the normal form, in pieces.
    names: all dotted names that may be modules that the statements import, at once or when a function runs.
    """

    def __init__(self, package: str, *, messages: bool):
        self.parts: list[str] = []
        self.names: set[str] = set()
        self._package, self._messages = package, messages

    def add(self, value: object) -> None:
        """Append a node of the syntax tree, a list of such, or a plain value."""
        match value:
            case ast.stmt():
                self._statement(value)
            case ast.Constant(constant):
                if isinstance(constant, str) and _MODULE.fullmatch(constant):
                    self.names.add(constant.partition(":")[0])
                self.parts.append(f"{ascii(constant)} ")
            case ast.AST():
                self._node(value)
            case list():
                self.parts.append("[")
                for element in value:
                    self.add(element)
                self.parts.append("]")
            case _:
                self.parts.append(f"<{ascii(value)}>")

    def _node(self, node: ast.AST) -> None:
        """Append a node with the fields that hold something: a field that a later Python adds changes nothing then."""
        self.parts.append(f"{type(node).__name__}(")
        for field in node._fields:
            value = getattr(node, field, None)
            if value is None or value == [] or field in _REDUNDANT:
                continue
            self.parts.append(f"{field}=")
            self.add(value)
        self.parts.append(")")

    def _statement(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Pass) or is_docstring(statement):
            return
        match statement:
            case ast.If(test, _, orelse) if _last_name(test) == "TYPE_CHECKING":
                for inner in orelse:
                    self._statement(inner)
                return
            case ast.Import(aliases):
                self.names.update(alias.name for alias in aliases)
            case ast.ImportFrom():
                self.names.update(self._imported(statement))
        if self._messages:
            self._node(statement)
            return
        match statement:
            case ast.Expr(ast.Call() as call) if _says(call):
                self._calls_in(call.args + [keyword.value for keyword in call.keywords])
            case ast.Raise(ast.Call(function, arguments, keywords), cause):
                texts = [argument for argument in arguments if _is_text(argument)]
                others = [argument for argument in arguments if not _is_text(argument)]
                self._node(ast.Raise(ast.Call(function, others, keywords), cause))
                self._calls_in(texts)
            case ast.Assert(test, ast.expr() as message):
                self._node(ast.Assert(test))
                self._calls_in([message])
            case _:
                self._node(statement)

    def _calls_in(self, texts: Iterable[ast.AST]) -> None:
        """Append the calls in texts: what a message does besides being read."""
        for node in texts:
            match node:
                case ast.Call(function, arguments, keywords) if _words(function):
                    self._calls_in([function, *arguments, *keywords])
                case ast.Call() | ast.NamedExpr() | ast.Await() | ast.Yield() | ast.YieldFrom():
                    self.add(node)
                case _:
                    self._calls_in(ast.iter_child_nodes(node))

    def _imported(self, statement: ast.ImportFrom) -> Iterator[str]:
        base = importlib.util.resolve_name("." * statement.level + (statement.module or ""), self._package)
        yield base
        for alias in statement.names:
            yield f"{base}.{alias.name}"


def _says(call: ast.Call) -> bool:
    """Whether a call only says something. One that prints to a file of its own may write an output."""
    streams = [ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "file"]
    return ast.unparse(call.func) in SAYING and set(streams) <= {"sys.stdout", "sys.stderr"}


def _words(function: ast.expr) -> bool:
    """Whether a function only makes words or numbers: one of WORDING, or `join` or `format` of a text."""
    match function:
        case ast.Name(name):
            return name in WORDING
        case ast.Attribute(text, "join" | "format"):
            return _is_text(text)
    return False


def _is_text(node: ast.expr) -> bool:
    """Whether an expression is a text that is put together on the spot."""
    match node:
        case ast.Constant(value):
            return isinstance(value, str)
        case ast.BinOp(left, ast.Add(), right):
            return _is_text(left) or _is_text(right)
        case ast.BinOp(left, ast.Mod(), _):
            return _is_text(left)
        case ast.IfExp(_, body, orelse):
            return _is_text(body) and _is_text(orelse)
        case ast.Call(ast.Attribute(value, "join" | "format"), _, _):
            return _is_text(value)
    return isinstance(node, ast.JoinedStr)


def _last_name(function: ast.expr) -> str | None:
    match function:
        case ast.Name(name) | ast.Attribute(_, name):
            return name
    return None


def is_string(node: object) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_docstring(node: ast.AST) -> bool:
    """Whether a statement is a text that stands by itself: a docstring, or one below a field."""
    return isinstance(node, ast.Expr) and is_string(node.value)
