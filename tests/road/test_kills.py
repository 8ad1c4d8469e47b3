"""The road killed at random moments ends, begun again, in the same bytes. More of it: `python -m tests.road.kills`"""

import random
from pathlib import Path

import pytest

from tests.road.kills import WAYS, kill_along, plan, undisturbed

pytestmark = [pytest.mark.road, pytest.mark.timeout(1500)]

KILLS = {"repro": 8, "exp": 6, "temp": 3, "queue": 3}
SEED = 6


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], list[tuple[str, float]]]:
    return undisturbed(tmp_path_factory.mktemp("kills") / "undisturbed")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_killed_again_and_again_ends_in_the_same_bytes(way: str, tmp_path: Path, reference):
    expected, timeline = reference
    kills = plan(way, KILLS[way], len(timeline), random.Random(f"{SEED} {way}"))
    made, wrong = kill_along(tmp_path / way, way, kills, expected, timeline)
    assert len(made) >= len(kills) - 1  # the last may come too late
    assert not wrong and not [killed for killed in made if killed.alive]
