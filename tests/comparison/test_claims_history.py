"""claims.yaml against git's history: since when each claim stands, and that no change of what decides it is hidden."""

import datetime
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT

DECISIVE = ("published", "datasets", "train", "epochs", "each", "parts")


def git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True).stdout


def claims_of(text: str) -> dict[str, dict[str, Any]]:
    return {claim["id"]: claim for claim in YAML(typ="safe", pure=True).load(text)}


def versions() -> Iterator[tuple[datetime.date, dict[str, dict[str, Any]]]]:
    """Every committed claims.yaml with the day of its commit, the oldest first."""
    for line in git("log", "--reverse", "--topo-order", "--format=%H %as", "--", "claims.yaml").splitlines():
        commit, day = line.split()
        yield datetime.date.fromisoformat(day), claims_of(git("show", f"{commit}:claims.yaml"))


@cache
def history() -> list[tuple[datetime.date, dict[str, dict[str, Any]]]]:
    inside = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--is-shallow-repository"], check=False,
                            capture_output=True, text=True)
    if inside.stdout.strip() != "false":
        pytest.skip("cannot check claims.yaml against its history: this is a shallow clone, or no clone")
    return list(versions())


def decisive(claim: dict[str, Any]) -> dict[str, Any]:
    return {key: claim.get(key) for key in DECISIVE}


@pytest.fixture
def now() -> dict[str, dict[str, Any]]:
    return claims_of((ROOT / "claims.yaml").read_text())


def test_every_claim_of_ours_says_since_when_it_stands(now: dict[str, dict[str, Any]]):
    assert [name for name, claim in now.items() if not isinstance(claim.get("registered"), datetime.date)] == []


def test_each_was_registered_when_git_first_saw_it(now: dict[str, dict[str, Any]]):
    first = {}
    for day, claims in history():
        for name in claims:
            first.setdefault(name, day)
    wrong = {name: (claim["registered"], first[name]) for name, claim in now.items()
             if name in first and claim["registered"] != first[name]}
    assert wrong == {}


def test_a_change_of_what_decides_a_claim_stands_with_it(now: dict[str, dict[str, Any]]):
    """A change that is not committed yet needs an entry too, with any date."""
    hidden = []
    for name, claim in now.items():
        days = [change["date"] for change in claim.get("changed", [])]
        known = [(day, decisive(claims[name])) for day, claims in history() if name in claims]
        for (_, before), (day, after) in zip(known, known[1:], strict=False):
            if after != before and day not in days:
                hidden.append((name, day))
        if known and decisive(claim) != known[-1][1] and not any(day >= known[-1][0] for day in days):
            hidden.append((name, "uncommitted"))
    assert hidden == []


def test_an_entry_says_what_was_changed_and_why(now: dict[str, dict[str, Any]]):
    for name, claim in now.items():
        days = [change["date"] for change in claim.get("changed", [])]
        assert days == sorted(days) and all(day >= claim["registered"] for day in days), name
        assert all(change["what"] and change["why"] for change in claim.get("changed", [])), name
