"""`seglib reproduce`: what it will run, the check of the data, and the table at the end."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from seglib import cli, resolve
from seglib.comparison import published
from seglib.files import write_json
from seglib.params import ParamsError
from seglib.tools import reproducing, studies
from seglib.tools.reproducing import Plan
from tests.conftest import ROOT

NAMES = [name for name, entry in published.load(ROOT / "published.yaml").items() if entry.figures]
ROW = {"id": "mse@500", "quantity": "running mean", "of": "munet, mse", "published": 450, "tolerance": 20,
       "reason": "rounding", "definition": "a mean over 500 iterations", "ours": 12345.6, "low": 0.25, "high": 460.25,
       "seeds": 3, "because": None, "verdict": "differs"}


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_the_study_of_the_entry_and_nothing_else(repository: Path, name: str):
    entry = published.load(Path("published.yaml"))[name]
    assert Plan.of(name).changes == studies.changes_of(entry.study)
    assert Plan.of(name, sample=True).changes == studies.changes_of(entry.study, sample=True)


def test_data_and_mirror_take_the_place_of_the_download(repository: Path):
    place = "/tmp/my data, 'real' (1)=2"
    assert Plan.of("shapes-2024", data=place).settings.datasets["shapes"].source == place
    assert Plan.of("stanford", data=place).settings.datasets["stanford"].source == place
    assert Plan.of("pets", mirror=Path(place)).settings.fetch.mirror == place
    assert Plan.of("shapes-2024", data="generated").settings.datasets["shapes"].generated()
    later = Plan.of("shapes-2024", data="generated", changes=["datasets.shapes.source=purdue"])
    assert later.settings.datasets["shapes"].source == "purdue"


@pytest.mark.parametrize(("arguments", "message"), [
    ({"name": "shapes-2042"}, "no reproduction 'shapes-2042': did you mean 'shapes-2024'?"),
    ({"name": "pets", "data": "/tmp/pets"}, "no other source than its publishers; --mirror"),
    ({"name": "stanford", "data": "generated"}, "nothing generates stanford"),
    ({"name": "stanford-augmentation"}, "has no published figure; `seglib study stanford_augment`"),
    ({"name": "pets", "changes": ["run.datasets=[stanford]"]}, "pets is about pets, and run.datasets is stanford"),
    ({"name": "pets", "changes": ["run.models=[munet]"]}, "run.models and run.losses pick none of them"),
    ({"name": "shapes-2024", "changes": ["run.losses=[mse_dice400_flat]"]}, "is about munet_dlstudio dice, "),
    ({"name": "pets", "changes": ["train.lrr=1"]}, "params.yaml has no 'lrr' there")])
def test_what_cannot_be_is_said_before_anything_starts(repository: Path, arguments: dict[str, Any], message: str):
    with pytest.raises((ValueError, ParamsError)) as error:
        Plan.of(**arguments)
    assert message in str(error.value)


def test_a_name_that_params_lacks_is_named(repository: Path):
    text = Path("published.yaml").read_text().replace("munet_dlstudio_aspp:", "munet_dlstudio_asp:")
    Path("published.yaml").write_text(text)
    with pytest.raises(ValueError, match="no models.munet_dlstudio_asp: did you mean 'munet_dlstudio_aspp'"):
        Plan.of("shapes-aspp-2025")


@pytest.mark.parametrize("name", NAMES)
def test_the_first_iterations_are_the_end_of_every_training(repository: Path, name: str):
    """Also of those whose model brings epochs of its own."""
    full = {training.name: training.train.train for training in resolve.resolve(Plan.of(name).settings)}
    for training in resolve.resolve(Plan.of(name, first=500).settings):
        train, before = training.train.train, full[training.name]
        freezes = before.freeze_encoder_epochs > 0
        assert (train.epochs, train.freeze_encoder_epochs) == (1 + freezes, int(freezes))
        assert train.pictures_per_epoch == 500 * train.batch_size
        same = train.content() | {key: before.content()[key] for key in ("epochs", "pictures_per_epoch",
                                                                       "freeze_encoder_epochs")}
        assert same == before.content()


def test_trainings_with_different_batches_have_no_common_first_iterations(repository: Path):
    changes = ["models.munet_dlstudio_aspp.train.batch_size=8"]
    with pytest.raises(ValueError, match="--first: the study has batches of 4, 8"):
        Plan.of("shapes-aspp-2025", first=500, changes=changes)


def test_the_first_iterations_are_those_of_the_changed_settings(repository: Path):
    changes = ["models.munet_dlstudio.train.batch_size=8", "models.munet_dlstudio.train.epochs=3"]
    train = resolve.resolve(Plan.of("shapes-2024", first=500, changes=changes).settings)[0].train.train
    assert (train.batch_size, train.pictures_per_epoch, train.epochs) == (8, 4000, 1)


@pytest.mark.parametrize(("batch_size", "iterations"), [(4, 14), (8, 7)])
def test_more_iterations_than_an_epoch_has_are_refused(repository: Path, batch_size: int, iterations: int):
    """The sample has 60 pictures, and 6 of them are for val."""
    options = ["shapes-2024", "--sample", "--check-only", "-S", f"models.munet_dlstudio.train.batch_size={batch_size}"]
    result = run(*options, "--first", str(iterations + 1))
    assert str(result.exception) == f"an epoch has {iterations} iterations; --first takes at most that many"
    assert run(*options, "--first", str(iterations)).exit_code == 0


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["reproduce", *arguments])


def test_the_check_of_generated_data_is_comparable_with_nothing(repository: Path):
    result = run("shapes-2024", "--sample", "--check-only")
    assert result.exit_code == 0, result.output
    assert "60        20" in result.output  # pictures, by `seglib check`
    assert result.output.count("not comparable: generated data") == 6
    assert not list(Path(".work").iterdir()) and not Path("studies").exists()


def test_data_in_another_number_stop_before_training(repository: Path):
    """Pictures in the course's format, but fewer than the course's."""
    from seglib.datasets import shapes_generator
    place = repository / "course"
    place.mkdir()
    for split, count in (("train", 40), ("test", 10)):
        file = place / f"PurdueShapes5MultiObject-{count}-{split}.gz"
        shapes_generator.generate(file, place / f"{split}.gz", images=count, seed=1, stream=0, background="dark")
    options = ["shapes-2024", "--data", str(place), "--check-only", "-S", "datasets.shapes.train_images=40", "-S",
               "datasets.shapes.test_images=10", "-S", "datasets.shapes.allow=[absent_class,unscored_class]"]
    result = run(*options)
    assert isinstance(result.exception, ValueError) and "use --any-data" in str(result.exception)
    rows = [line for line in result.output.splitlines() if "10,000 ± 0" in line]
    assert len(rows) == 1 and rows[0].endswith("differs")
    assert run(*options, "--any-data").exit_code == 0
    assert "not comparable: a sample" in run(*options, "--sample").output


def test_the_table_is_of_this_reproduction_alone(repository: Path):
    plan = Plan.of("shapes-2024")
    plan.table.parent.mkdir(parents=True)
    write_json(plan.table, [{"name": "other", "rows": []}, {"name": "shapes-2024", "rows": [ROW]}])
    assert reproducing.verdicts(plan) == [ROW] and reproducing.differs([ROW])
    assert not reproducing.differs([ROW | {"verdict": "agrees"}, ROW | {"verdict": "not comparable"}])
    sample, = reproducing.verdicts(dataclasses.replace(plan, sample=True))
    assert sample == ROW | {"verdict": "not comparable", "because": "a sample"}


def test_the_table_in_a_terminal():
    lines = reproducing.render([ROW, ROW | {"verdict": "not comparable", "because": "generated data", "low": None,
                                            "high": None, "seeds": 1}]).splitlines()
    assert lines[0].split() == ["quantity", "of", "published", "ours", "(95", "%", "interval)", "verdict"]
    assert "450 ± 20" in lines[2] and "12,346 (0.25 to 460.2)" in lines[2] and lines[2].endswith("differs")
    assert "12,346 (one seed)" in lines[4] and lines[4].endswith("not comparable: generated data")
    assert max(map(len, lines)) <= sum(reproducing.WIDTHS.values()) + 10
    assert [line.split()[0] for line in (lines[2], lines[4])] == ["1", "1"]  # the rows share a definition
    assert lines[-2] == "definitions:" and lines[-1].split(maxsplit=1) == ["1", ROW["definition"]]
