"""What is imported is asked for: by pyproject.toml, which installs it, and in ARCHITECTURE.md, which says why."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import ROOT

OWN = {"seglib", "stages", "tests", "benchmarks"}
PARTS = {"markupsafe": "jinja2", "pydantic_core": "pydantic", "sqlalchemy": "mlflow", "urllib3": "requests"}
"""Whose types and errors are those of what is asked for."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names_of(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\[ ;<=>!~]", requirement)[0]) for requirement in requirements}


def normal(name: str) -> str:
    return name.replace("_", "-").lower()


def imported_in(folder: Path) -> set[str]:
    """The modules, by their first names, that its sources import and Python does not bring."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
    return names - OWN - sys.stdlib_module_names


@pytest.mark.parametrize(("folder", "with_test"), [("seglib", False), ("stages", False), ("tests", True),
                                                   ("benchmarks", True)])
def test_what_is_imported_is_asked_for(folder: str, with_test: bool):
    asked = names_of(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"] * with_test)
    brought_by = metadata.packages_distributions()
    modules = {PARTS.get(module, module) for module in imported_in(ROOT / folder)}
    assert modules
    assert not {module for module in modules if not asked & set(map(normal, brought_by[module]))}


def test_each_has_its_reason():
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("\n## Dependencies\n")[2]
    named = re.findall(r"[\w.-]+", " ".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)))
    assert names_of(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]) <= set(map(normal, named))
