"""`seglib bridge`: from one study's recipe to another's, one factor at a time."""

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML
from typer.testing import CliRunner

from seglib import cli, params, resolve
from seglib.configs import TrainConfig
from seglib.params import ParamsError, bridges
from seglib.params.bridges import Bridge
from seglib.tools import bridge as bridging
from seglib.tools import bridge_results, studies
from tests.conftest import ROOT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BRIDGES = bridges.load(ROOT / "bridges.yaml")
SIZES = pytest.mark.parametrize("full", [False, True])
ALL = pytest.mark.parametrize("bridge", BRIDGES, ids=lambda bridge: f"{bridge.start}-{bridge.end}")


def rewrite(change: dict[str, Any]) -> None:
    """Change keys of the first bridge in bridges.yaml."""
    yaml = YAML(typ="safe", pure=True)
    content = yaml.load(Path("bridges.yaml"))
    content["bridges"][0] |= change
    yaml.dump(content, Path("bridges.yaml"))


def trainings_of(changes: list[str]) -> dict[str, TrainConfig]:
    """What `resolve` makes of params.yaml after DVC's changes: the configuration of each loss, with the first seed."""
    settings = studies.settings(changes)
    found = resolve.resolve(settings)
    return {training.loss: training.train for training in found if training.seed == settings.run.seeds[0]}


def of_study(name: str, model: str) -> dict[str, TrainConfig]:
    changes = [] if name == bridges.DEFAULT else studies.changes_of(name)
    return trainings_of([*changes, f"run.models=[{model}]"])


def sized(config: TrainConfig, sizes: dict[str, Any]) -> TrainConfig:
    """The same configuration with the sizes of one end of a bridge."""
    model, train = dict(config.model.arguments), {}
    for key, value in sizes.items():
        part, _, name = key.partition(".")
        {"model": model, "train": train}[part][name] = value
    return dataclasses.replace(config, model=dataclasses.replace(config.model, arguments=model),
                               train=dataclasses.replace(config.train, **train))


@SIZES
@ALL
def test_the_ends_of_a_bridge_are_the_two_studies_but_for_the_sizes_that_it_states(
        repository: Path, bridge: Bridge, full: bool):
    steps = bridging.steps_of(bridge, full=full)
    size = bridge.full if full else bridge.small
    assert len(steps) == len(bridge.factors) + 1
    for place, step, sizes in ((0, steps[0], size.start), (1, steps[-1], size.end)):
        expected = of_study((bridge.start, bridge.end)[place], bridge.models[place])
        found = trainings_of(bridging.changes_of(bridge, step, full=full))
        assert set(found) == set(bridge.losses)
        for name, losses in bridge.losses.items():
            assert found[name] == sized(expected[losses[place]], sizes)


@SIZES
@ALL
def test_each_difference_between_the_ends_belongs_to_one_factor_and_moves_with_it(
        repository: Path, bridge: Bridge, full: bool):
    steps = bridging.steps_of(bridge, full=full)
    factors_of: dict[str, set[str]] = {}
    for before, after in itertools.pairwise(steps):
        for loss in bridge.losses:
            one, other = before.configs[loss], after.configs[loss]
            for key in (key for key in one | other if one.get(key) != other.get(key)):
                factors_of.setdefault(key, set()).add(after.factor)
                assert f"{key} " in after.changed
    assert factors_of and all(len(factors) == 1 for factors in factors_of.values())
    for loss in bridge.losses:
        first, last = steps[0].configs[loss], steps[-1].configs[loss]
        assert {key for key in first | last if first.get(key) != last.get(key)} <= set(factors_of)


def test_the_key_of_a_factor_moves_in_each_loss_that_has_it(repository: Path):
    found = bridging.steps_of(BRIDGES[0])
    step = next(step for step in found if step.factor == "targets")
    assert step.changed == ("train.targets label → unit, train.output raw → sigmoid, "
                            "loss.dice 20.0 → 1.0 (MSE_Dice)")
    assert "loss.dice" not in step.configs["MSE"]


@ALL
def test_a_users_change_applies_to_both_ends_and_to_each_step_and_all_see_the_same_pictures(
        repository: Path, bridge: Bridge):
    changes, data = ["run.seeds=[7]", "train.threads=2", "evaluate.tolerance=3"], set()
    for step in bridging.steps_of(bridge, changes=changes):
        settings = studies.settings(bridging.changes_of(bridge, step, changes=changes))
        found = resolve.resolve(settings)
        assert {(training.dataset, training.loss) for training in found} == {
            (bridge.dataset, loss) for loss in bridge.losses}
        assert {(training.train.train.threads, training.seed) for training in found} == {(2, 7)}
        data.add(settings.datasets[bridge.dataset].model_dump_json())
    assert len(data) == 1


@pytest.mark.parametrize(("change", "message"), [
    ({"factors": [{"name": "one", "keys": ["train.lr"]}]}, "no factor moves .*: .*train.optimizer.* .loss Dice"),
    ({"factors": [{"name": "one", "keys": ["train.lrr"]}]}, "unknown key train.lrr: did you mean 'train.lr'"),
    ({"factors": [{"name": "one", "keys": ["train.lr"]}, {"name": "two", "keys": ["train.lr"]}]},
     "move train.lr more than once"),
    ({"small": {"end": {"model.depht": 4}}}, "unknown key model.depht: did you mean 'model.depth'"),
    ({"losses": {"mse": ["mse", "mse"]}}, "needs the name mse, which params.yaml has already"),
    ({"losses": {"a-b": ["mse", "mse"]}}, "letters, digits and underscores"),
    ({"losses": {"A": ["mse"]}}, "expected at least 2"),
    ({"losses": {"A": ["msee", "mse"]}}, "msee is not defined in params.yaml, did you mean 'mse'"),
    ({"models": ["munet_dlstudio", "munett"]}, "munett is not defined in params.yaml"),
    ({"scores": ["iou_datset"]}, "unknown score 'iou_datset': did you mean 'iou_dataset'"),
    ({"scores": ["hd95_image_mean"]}, "the lower hd95_image_mean is, the better"),
    ({"start": "nowhere"}, "no bridge 'shapes_2024 default'")])
def test_a_mistake_in_bridges_yaml_is_said_before_anything_runs(repository: Path, change: dict[str, Any],
                                                                message: str):
    rewrite(change)
    with pytest.raises(ValueError, match=message):
        bridging.steps_of(bridging.find("shapes-2024", "default"))


def test_bridges_yaml_that_is_no_yaml_is_one_error(repository: Path):
    Path("bridges.yaml").write_text("bridges: [")
    with pytest.raises(ParamsError, match="bridges.yaml is not YAML"):
        bridging.find("shapes_2024", "default")


def test_the_command_prints_its_plan(repository: Path):
    result = CliRunner().invoke(cli.app, ["bridge", "shapes-2024", "default", "--dry"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "step 0: shapes_2024"
    assert [line.split(": ")[1] for line in lines[1:-2]] == [factor.name for factor in BRIDGES[0].factors]
    assert lines[-2].startswith("size: datasets.shapes.train_images 600, ")
    assert lines[-1] == "trainings: 81 at most (9 steps, 3 losses, 3 seeds); equal ones run once"
    assert params.load(Path("params.yaml")) == params.load(ROOT / "params.yaml")


def leave_tables(folder: Path, scores: dict[str, dict[str, list[float]]], better: dict[str, list[str]]) -> Path:
    """Made-up tables of a comparison.

    scores: by score and loss, the score of each seed. better: by score, the losses of which the first is better than
    the second. The verdict on all other pairs is unknown.
    """
    folder.mkdir(parents=True)
    of_variant, of_training, of_pair = [], [], []
    for score, by_loss in scores.items():
        for loss, values in by_loss.items():
            mean = sum(values) / len(values)
            for split in ("test", "val"):  # val holds other values, which must not be read
                off = 0 if split == "test" else 5
                of_variant.append({"variant": f"bridge {loss}", "split": split, "score": score, "mean": mean + off,
                                   "low": mean - 0.1, "high": mean + 0.1})
                of_training += [{"training": f"bridge-{loss}-{seed}", "split": split, "class": name, "score": score,
                                 "value": value + off + (name == "disk")}
                                for seed, value in enumerate(values, 1) for name in ("", "disk")]
        for one, other in itertools.combinations(sorted(by_loss, key=lambda loss: -sum(by_loss[loss])), 2):
            of_pair.append({"a": f"bridge {one}", "b": f"bridge {other}", "score": score,
                            "verdict": "better" if better.get(score) == [one, other] else "unknown"})
    for name, rows in (("scores", of_variant), ("training_scores", of_training), ("pairs", of_pair)):
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Four steps of two losses: A ahead, undecided, B ahead, B ahead; A is ahead under another score at the end."""
    means = [({"A": 0.5, "B": 0.3}, ["A", "B"]), ({"A": 0.5, "B": 0.52}, []), ({"A": 0.5, "B": 0.7}, ["B", "A"]),
             ({"A": 0.55, "B": 0.7}, ["B", "A"])]
    folders = []
    for number, (by_loss, ahead) in enumerate(means):
        scores = {"iou_dataset": {loss: [mean - 0.01, mean, mean + 0.01] for loss, mean in by_loss.items()},
                  "dice_dataset": {"A": [0.9, 0.9, 0.9], "B": [0.8, 0.8, 0.8]}}
        folders.append(leave_tables(tmp_path / str(number), scores,
                                    {"iou_dataset": ahead, "dice_dataset": ["A", "B"]}))
    return bridge_results.gather([("start", ""), ("one", "k 1 → 2"), ("two", "l 1 → 2"), ("three", "m 1 → 2")], folders,
                                 model="bridge", losses=["A", "B"], scores=["iou_dataset", "dice_dataset"])


def test_the_table_holds_each_step_with_its_seeds_intervals_and_verdicts(table: pd.DataFrame):
    assert list(table.columns) == ["step", "factor", "changed", "score", "loss", "mean", "low", "high", "seed_1",
                                   "seed_2", "seed_3", "A or B"]
    assert list(table["A or B"][::2]) == ["A", "unknown", "B", "B", "A"]
    row = table[(table["step"] == 2) & (table["loss"] == "B")].iloc[0]
    assert row[["mean", "low", "high", "seed_1", "seed_2", "seed_3"]].tolist() == pytest.approx(
        [0.7, 0.6, 0.8, 0.69, 0.7, 0.71])
    last = table[table["factor"] == "score definition"]
    assert last["step"].tolist() == [4, 4] and last["score"].tolist() == ["dice_dataset"] * 2
    assert last["mean"].tolist() == pytest.approx([0.9, 0.8])


def test_the_sentences_name_the_largest_step_and_each_flip(table: pd.DataFrame):
    assert list(bridge_results.sentences(table)) == [
        "A: the step that moves the score most is 3, three: 0.500 → 0.550.",
        "B: the step that moves the score most is 1, one: 0.300 → 0.520.",
        "A: the definition that moves the score of the last step most is dice_dataset: 0.550 → 0.900.",
        "B: the definition that moves the score of the last step most is dice_dataset: 0.700 → 0.800.",
        "A or B: A is better at step 0 (start), B at step 2 (two).",
        "A or B: B is better at step 3 (three), A at step 4 (score definition: dice_dataset)."]


def test_what_no_comparison_decided_stays_unknown(tmp_path: Path):
    """One loss has the higher mean at each step, and the order changes: that alone is no verdict."""
    folders = [leave_tables(tmp_path / str(number), {"iou_dataset": by_loss}, {})
               for number, by_loss in enumerate(({"A": [0.9], "B": [0.1]}, {"A": [0.1], "B": [0.9]}))]
    found = bridge_results.gather([("start", ""), ("one", "k 1 → 2")], folders, model="bridge", losses=["A", "B"],
                                  scores=["iou_dataset"])
    assert set(found["A or B"]) == {"unknown"}
    assert list(bridge_results.sentences(found))[2:] == ["No step flips a verdict.",
                                                          "No step decides which is better: A or B."]


def test_a_loss_that_no_step_moves_is_said_to_be_unmoved(tmp_path: Path):
    folders = [leave_tables(tmp_path / str(number), {"iou_dataset": {"A": [0.0], "B": [mean]}}, {})
               for number, mean in enumerate((0.0, 0.25))]
    found = bridge_results.gather([("start", ""), ("one", "k 1 → 2")], folders, model="bridge", losses=["A", "B"],
                                  scores=["iou_dataset"])
    assert list(bridge_results.sentences(found))[:2] == [
        "A: no step moves the score.", "B: the step that moves the score most is 1, one: 0.000 → 0.250."]


def test_the_printed_table_is_markdown_with_one_line_per_step_and_definition(table: pd.DataFrame):
    lines = [line for line in bridge_results.render(table).splitlines() if line.startswith("|")]
    assert lines[0] == "| step | factor | what changed | A | B | A or B |"
    assert len(lines) == 2 + 5 and len({line.count("|") for line in lines}) == 1
    assert lines[4] == "| 2 | two | l 1 → 2 | 0.500 (0.400 to 0.600) | 0.700 (0.600 to 0.800) | B |"


def test_the_figure_shows_every_seed_and_every_verdict(table: pd.DataFrame, tmp_path: Path, figures: "list[Figure]"):
    bridge_results.draw(table, tmp_path / "bridge.png", title="From a to b", size="start: depth 4")
    (figure,) = figures
    above, beneath = figure.axes
    dots = [line for line in above.lines if line.get_marker() == "o"]
    assert len(dots) == 2 and all(len(line.get_xdata()) == 5 * 3 for line in dots)
    means = [line for line in above.lines if line.get_linestyle() == "-"]
    assert [line.get_label() for line in means] == ["A", "B"]
    assert means[1].get_ydata().tolist() == pytest.approx([0.3, 0.52, 0.7, 0.7])
    assert [text.get_text() for text in beneath.texts] == ["A", "unknown", "B", "B", "A"]
    names = [label.get_text().replace("\n", " ") for label in beneath.get_xticklabels()]
    assert names == ["0: start", "1: one", "2: two", "3: three", "Dice, all pixels"]
    with Image.open(tmp_path / "bridge.png") as picture:
        assert picture.format == "PNG" and picture.width > 1000


def test_an_equivalent_pair_is_decided_for_no_loss(table: pd.DataFrame):
    table.loc[table["step"] == 1, "A or B"] = "equivalent"
    said = list(bridge_results.sentences(table))
    assert "A or B: A is better at step 0 (start), B at step 2 (two)." in said
    assert not [line for line in said if line.startswith("A or B: equivalent")]
    table["A or B"] = "equivalent"
    assert "No step decides which is better: A or B." in list(bridge_results.sentences(table))


def test_a_change_of_what_the_size_sets_is_refused(repository: Path):
    with pytest.raises(ParamsError, match="-S changes model.width of default, but the size in bridges.yaml"):
        bridging.steps_of(BRIDGES[0], changes=["models.munet.width=16"])


def test_an_earlier_table_is_renamed_and_the_same_one_stays(tmp_path: Path):
    (tmp_path / bridging.TABLE).write_text("a table")
    bridging._put_aside(tmp_path, "a table")
    assert [path.name for path in tmp_path.iterdir()] == [bridging.TABLE]
    bridging._put_aside(tmp_path, "another")
    renamed, = tmp_path.iterdir()
    assert renamed.name.startswith("bridge-") and renamed.read_text() == "a table"
