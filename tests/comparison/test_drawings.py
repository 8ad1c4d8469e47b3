"""What is drawn of a study: figures for what there is, and the numbers below snapshots."""

from pathlib import Path

from PIL import Image

from seglib.comparison import curves, drawings
from seglib.datasets.store import Split
from tests.comparison.conftest import Compared


def test_a_study_has_every_figure_and_again_the_same_bytes(mixed: Compared, tmp_path: Path):
    val, test = (Split.open(Path("data/prepared/shapes"), name) for name in ("val", "test"))
    bytes_of = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        drawings.draw_curves(mixed.variants, curves.curve_table(mixed.variants), curves.training_table(mixed.variants),
                             folder)
        drawings.draw_pictures(mixed.variants, [0, 3], mixed.info, test, folder / "pictures.png")
        assert drawings.draw_snapshots(mixed.variants, mixed.info, val, folder) == {"unet ce": "snapshots_1"}
        bytes_of.append({path.stem: path.read_bytes() for path in folder.iterdir()})
    assert bytes_of[0] == bytes_of[1]
    assert set(bytes_of[0]) == {"loss", "loss_normalised", "terms", "best_and_worst", "scores", "learning", "pictures",
                                "snapshots_1"}
    with Image.open(tmp_path / "first/snapshots_1.png") as sheet:
        assert sheet.width == 10 + 4 * 160  # picture, truth, and two epochs


def test_a_study_that_only_counts_has_no_curves(mixed: Compared, tmp_path: Path):
    counted = [mixed.variant("frequency")]
    drawings.draw_curves(counted, curves.curve_table(counted), curves.training_table(counted), tmp_path)
    assert list(tmp_path.iterdir()) == []
