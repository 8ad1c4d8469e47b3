"""Pages built from made-up comparisons, and one opened in the headless Chromium of tests/conftest.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seglib.report.builder import build, build_everything
from tests.report.browser import Browser
from tests.report.synthetic import Study, write

EVIL = "<script>alert(1)</script>"
QUOTED = "it's \"quoted\" & \\slashed"


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """index.html of two datasets, one of them with names that would break a careless page."""
    folder = tmp_path_factory.mktemp("page")
    write(Study(), folder / "comparisons")
    write(Study(dataset="coco", models=("munet", "munet_aspp", "unet"), classes=("cake", EVIL, QUOTED), pictures=6,
                absent=("cake",)), folder / "comparisons")
    (folder / "reports").mkdir()
    build(["shapes", "coco"], folder / "comparisons", folder / "reports")
    return folder / "reports/index.html"


# Nine variants, one of them without loss and seed; eight classes of which each pixel has one; resized pictures.
STANFORD = Study(dataset="stanford", task="multiclass", losses=("ce_weighted",), frequency=True, snapshots=True,
                 models=("resnet18_unet_frozen", "resnet18_unet_unfrozen", "unet_crop4", "unet_flip50", "unet",
                         "unet_after_relu", "unet_no_norm", "convnet"),
                 classes=("sky", "tree", "road", "grass", "water", "building", "mountain", "foreground"))


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """index.html of three studies, two of them of one dataset."""
    folder = tmp_path_factory.mktemp("everything")
    write(STANFORD, folder / "stanford")
    write(Study(), folder / "shapes")
    write(Study(losses=("mse", "dice")), folder / "scale & sweep")
    build_everything(folder, command="make everything")
    return folder / "index.html"


@pytest.fixture
def built(tmp_path: Path) -> Any:
    """Build a page of one study; gives its text and the headline."""
    def make(study: Study) -> tuple[str, dict[str, Any]]:
        write(study, tmp_path / "comparisons")
        (tmp_path / "reports").mkdir()
        headline = build([study.dataset], tmp_path / "comparisons", tmp_path / "reports")
        return (tmp_path / "reports/index.html").read_text(), headline
    return make


@pytest.fixture
def browser(session: Browser, page: Path) -> Iterator[Browser]:
    """The page, freshly opened at desktop size; whatever a test does, the console must stay silent."""
    session.screen(1280, 900)
    session.open(page)
    yield session
    assert session.console() == []
