"""The road, killed at random moments and begun again, ends in the same bytes.

`dvc repro` is killed once in each way. The other commands run the same stages, so they are slow tests. For more kills:
`python -m tests.road.kills`
"""

import random
from pathlib import Path

import pytest

from tests.road.kills import WAYS, kill_along, plan, undisturbed

pytestmark = [pytest.mark.road, pytest.mark.timeout(1500)]

KILLS = {name: len(way.kinds) for name, way in WAYS.items()}  # each kind once
SEED = 6


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], list[tuple[str, float]]]:
    return undisturbed(tmp_path_factory.mktemp("kills") / "undisturbed")


@pytest.mark.parametrize("way", [pytest.param(way, marks=() if way == "repro" else pytest.mark.slow) for way in WAYS])
def test_what_is_killed_again_and_again_ends_in_the_same_bytes(way: str, tmp_path: Path, reference):
    expected, timeline = reference
    kills = plan(way, KILLS[way], len(timeline), random.Random(f"{SEED} {way}"))
    made, wrong = kill_along(tmp_path / way, way, kills, expected, timeline)
    assert len(made) >= len(kills) - 1  # the last may come too late
    assert not wrong and not [killed for killed in made if killed.alive]
