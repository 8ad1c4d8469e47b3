"""The normal form of code: which edits leave it as it is, and which do not."""

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from seglib.pipeline.normal_form import NormalForm
from tests.conftest import ROOT

FILES = sorted(path for package in ("seglib", "stages") for path in (ROOT / package).rglob("*.py"))

FORMATTING = {
    "a comment": ("x = 1", "# one\nx = 1  # is one"),
    "formatting": ("f(1, 2)", "f(\n    1,\n\n    2,\n)"),
    "parentheses": ("a + b * c", "(a + (b * c))"),
    "quotes": ("x = 'it'", 'x = "it"'),
    "a text in two parts": ("x = 'ab'", "x = ('a'\n     'b')"),
    "a number as it is written": ("x = 1000", "x = 1_000"),
    "a docstring": ("def f():\n    'Do.'\n    return 1", "def f():\n    'Do it.'\n    return 1"),
    "a docstring more": ("def f():\n    return 1", "'A module.'\ndef f():\n    'Do.'\n    return 1"),
    "a docstring in place of pass": ("class A:\n    pass", "class A:\n    'An A.'"),
    "a text below a field": ("class A:\n    x: int", "class A:\n    x: int\n    'In pixels.'"),
    "an import for type checkers": ("x = 1", "if TYPE_CHECKING:\n    from a import b\nx = 1"),
    "another one": ("if typing.TYPE_CHECKING:\n    import a", "if typing.TYPE_CHECKING:\n    import b"),
}
MESSAGES = {
    "what is printed": ("print('a')", "print('b')"),
    "a value that is printed": ("print(a.b, 1 + c)", "print(f'{a.b:.2f} of {c[0]}')"),
    "a line more": ("x = 1", "x = 1\nprint(f'{x} is {len(str(x))} long', flush=True)"),
    "a line to the terminal": ("x = 1", "x = 1\nprint('one', file=sys.stderr)"),
    "what a training says": ("progress.say('a')", "progress.say(f'{x}: b')"),
    "a warning": ("warnings.warn('a')", "warnings.warn('b')"),
    "why it raises": ("raise ValueError('a')", "raise ValueError(f'{x}: ' + 'b')"),
    "what helps": ("raise ValueError('a')", "raise ValueError(f'a, {nearest(name, list(known))}')"),
    "one of two texts": ("raise ValueError('a' if x else 'b')", "raise ValueError('%s' % x)"),
    "texts joined": ("raise ValueError('a')", "raise ValueError(', '.join(x))"),
    "why it is sure": ("assert x", "assert x, f'{x} is not'"),
}
STATEMENTS = {
    "a float": ("x = 1", "x = 1.0"),
    "a bool": ("x = 1", "x = True"),
    "a text": ("x = 1", "x = '1'"),
    "bytes": ("x = '1'", "x = b'1'"),
    "nothing": ("return None", "return"),
    "a default": ("def f(x=1): ...", "def f(x=2): ..."),
    "a keyword": ("f(a)", "f(x=a)"),
    "a branch": ("if a:\n    b()", "if a:\n    pass\nelse:\n    b()"),
    "the order": ("a()\nb()", "b()\na()"),
    "the end of a loop": ("for a in b:\n    c()\nd()", "for a in b:\n    c()\n    d()"),
    "two lists": ("x = [[1], 2]", "x = [[1, 2]]"),
    "digits": ("x = 1, 2", "x = 12,"),
    "a decorator": ("def f(): ...", "@cache\ndef f(): ..."),
    "an annotation": ("x: int = 1", "x: float = 1"),
    "async": ("def f(): ...", "async def f(): ..."),
    "what is deleted": ("del a", "del b"),
    "the part of a text": ("x = f'{a}b'", "x = f'{a}c'"),
    "the conversion in a text": ("x = f'{a}'", "x = f'{a!r}'"),
    "an import": ("import a", "import b"),
    "an import's name": ("import a as b", "import a as c"),
    "what runs where nothing is checked": ("if TYPE_CHECKING: a = 1\nelse: a = 2", "if TYPE_CHECKING: a = 1"),
    "what is printed to a file": ("print('a', file=out)", "print('b', file=out)"),
    "a call in a message": ("print('a')", "print(f'a {next(x)}')"),
    "an assignment in a message": ("print('a')", "print('a', x := 1)"),
    "a call to make an error": ("raise ValueError('a')", "raise ValueError(f'{x.pop()}')"),
    "the kind of an error": ("raise ValueError('a')", "raise OSError('a')"),
    "a value in an error": ("raise Stopped(1)", "raise Stopped(2)"),
    "what an error came from": ("raise A('a')", "raise A('a') from None"),
    "what is asserted": ("assert a, 'a'", "assert b, 'a'"),
    "a sentence that is kept": ("x.append(say('a'))", "x.append(say('b'))"),
    "what another say returns": ("say('a')", "say('b')"),
    "a text that is returned": ("return 'a'", "return 'b'"),
}


def form(code: str, *, messages: bool = False) -> str:
    normal = NormalForm("package", messages=messages)
    normal.add(ast.parse(code).body)
    return "".join(normal.parts)


@pytest.mark.parametrize("edit", FORMATTING)
@pytest.mark.parametrize("messages", [True, False])
def test_comments_docstrings_and_formatting_do_not_count(edit: str, messages: bool):
    before, after = FORMATTING[edit]
    assert form(before, messages=messages) == form(after, messages=messages)


@pytest.mark.parametrize("edit", MESSAGES)
def test_messages_count_if_they_are_asked_for(edit: str):
    before, after = MESSAGES[edit]
    assert form(before) == form(after)
    assert form(before, messages=True) != form(after, messages=True)


@pytest.mark.parametrize("edit", STATEMENTS)
@pytest.mark.parametrize("messages", [True, False])
def test_statements_count(edit: str, messages: bool):
    before, after = STATEMENTS[edit]
    assert form(before, messages=messages) != form(after, messages=messages)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_written_by_another_hand_has_the_same_form(path: Path):
    """Python writes each of our files anew, without its comments and in a format of its own."""
    code = path.read_text(encoding="utf-8")
    for messages in (True, False):
        assert form(ast.unparse(ast.parse(code)), messages=messages) == form(code, messages=messages)


def test_an_empty_text_among_statements_is_no_end_of_a_list():
    assert len({form("f(['] '])"), form("f(']')"), form("f([']', ])"), form("f(['', ']'])")}) == 4


def test_names_are_those_of_imports_and_of_texts_that_look_like_modules():
    normal = NormalForm("package.room", messages=False)
    normal.add(ast.parse(dedent("""\
        import a.b as c
        from d import e
        from . import f
        from ..g.h import i
        if TYPE_CHECKING:
            import never
        def late():
            "seglib.docs:never"
            import j
            return {"k": Entry("l.m:N", "seglib.o", "two words.", "n:o", ".p")}
        """)).body)
    assert normal.names == {"a.b", "d", "d.e", "package.room", "package.room.f", "package.g.h", "package.g.h.i", "j",
                            "l.m", "seglib.o"}
