"""The `seglib` command: run studies, look at data and at this machine, predict with a finished run, tidy up.

What a command does stands in `seglib.tools`, imported when it is called: help comes at once.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seglib.files import explain, refuse_to_overwrite

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Reproducible experiments in image segmentation.")

Sample = Annotated[bool, typer.Option("--sample", help="at sample size: minutes, and scores that say nothing")]
Changes = Annotated[list[str] | None, typer.Option("-S", "--set-param", metavar="KEY=VALUE",
                                                   help="change params.yaml further, as `dvc exp run -S` does")]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace files that exist already")]


def _enter_repository() -> Path:
    from seglib.files import repository_root

    os.chdir(repository_root())
    return Path.cwd()


def _repair(root: Path) -> None:
    from seglib.pipeline.repair import repair

    for done in repair(root):
        print(done, flush=True)


@app.command()
def show(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset's folder, such as data/prepared/coco")],
    ids: Annotated[list[str] | None, typer.Argument(help="ids of pictures; none: a contact sheet")] = None,
    split: Annotated[str, typer.Option(help="train, val or test; ids are looked for in all three")]
    = "train",
    augmented: Annotated[bool, typer.Option("--augmented", help="training pictures as training sees them")] = False,
    training: Annotated[Path | None, typer.Option(help="the training whose augmentation is drawn, such as "
                                                  "conf/pets/unet-bce-1234/train.json; default: the dataset's first "
                                                  "in conf/")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=NUMBER",
                                                       help="in place of the training's own value: flip, "
                                                       "vertical_flip, rotation, crop_min, crop_max, color")]
    = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="the PNG to write; default: DATASET.png")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw prepared pictures with their masks, as one PNG."""
    from seglib.tools import showing

    out = out or Path(f"{dataset.resolve().name}.png")
    if not overwrite:
        refuse_to_overwrite([out])
    if augmented:
        showing.augmented(dataset, ids or [], training, settings or [], out)
    elif training or settings:
        raise ValueError("--training and --set say how pictures are augmented: they need --augmented")
    else:
        showing.sheet(dataset, ids or [], split, out)
    print(out)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="a finished run's folder, such as runs/shapes/munet-mse_dice-1234")],
    images: Annotated[list[Path], typer.Argument(help="pictures in any format Pillow reads")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the folder to write to")],
    overwrite: Overwrite = False,
) -> None:
    """Segment pictures: for each, NAME.mask.png and NAME.overlay.png, at its own size.

    The mask holds k in pixels of the k-th class, and 0 in those of none. After a training on a folder with `masks: ids`
    it holds the numbers of the folder's own masks, and 255, or else the least free number, in pixels of none.

    A picture is brought to the size the network was trained at, as in training, and its outputs back to its own. If
    several classes are present in a pixel, the mask names the one whose output is highest; the overlay shows all.
    """
    from seglib.tools import predicting

    predicting.predict(run, images, out, overwrite=overwrite)


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="one of `studies` in params.yaml")],
    sample: Sample = False,
    dry: Annotated[bool, typer.Option("--dry", help="print the command and the estimate, no more")] = False,
    changes: Changes = None,
) -> None:
    """Run a named study of params.yaml in a temporary copy of the repository. Estimates its time and disk space first.

    The workspace stays as it is. At the end, studies/NAME/ holds the study's page (reports/index.html), comparisons,
    runs and results. An earlier result of the same study is renamed. If the study is stopped, run the same command to
    resume it.
    """
    from seglib.tools import estimate, studies

    root = _enter_repository()
    values = studies.changes_of(name, sample=sample, changes=changes or [])
    print(shlex.join(studies.command_of(values)), flush=True)
    print(estimate.estimate(studies.settings(values)), file=sys.stderr, flush=True)
    if dry:
        return
    _repair(root)
    typed = ["seglib", "study", name, *["--sample"] * sample]
    typed += [part for change in changes or [] for part in ("-S", change)]
    folder = studies.run(name, values, command=typed)
    if folder is None:
        raise ValueError(f"study {name} failed (see above). Finished trainings are kept: the same command runs only "
                         "what is missing")
    print(f"report: {root / folder}/reports/index.html")


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(help="an entry of published.yaml, such as shapes-2024")],
    data: Annotated[str | None, typer.Option(metavar="PATH|generated", help="a folder or a tarball in place of the "
                                             "download; generated: a stand-in, if there is one")] = None,
    mirror: Annotated[Path | None, typer.Option(help="a folder laid out as HOST/PATH, in place of the network")] = None,
    sample: Sample = False,
    check_only: Annotated[bool, typer.Option("--check-only", help="stop after the check of the data")] = False,
    first: Annotated[int | None, typer.Option(min=1, metavar="N", help="train for N iterations only; 500 gives the "
                                              "first printed loss of Shapes")] = None,
    any_data: Annotated[bool, typer.Option("--any-data", help="continue if the data are not as published")] = False,
    changes: Changes = None,
) -> None:
    """Repeat the experiment behind a published figure, and say whether the figures agree.

    The data are checked first: their number, sizes and classes against what is published. Then the source's own recipe
    is trained, and one table holds each published figure against ours: agrees, differs, or not comparable and why. The
    exit status is 1 if any differs. Generated data and samples run the same way, but none of their figures is
    comparable.

    The workspace stays as it is; the study's page is studies/STUDY/reports/index.html. Run the same command to resume.
    """
    from seglib.tools import estimate, reproducing, studies

    if data not in (None, reproducing.GENERATE):
        data = str(Path(data).resolve())
    mirror = mirror and mirror.resolve()
    root = _enter_repository()
    plan = reproducing.Plan.of(name, sample=sample, data=data, mirror=mirror, first=first, changes=changes or [])
    print(f"{name}: {plan.entry.title}\n{plan.entry.source}\n")
    report, rows = reproducing.check_data(plan, root)
    print(f"{report.render()}\n\n{reproducing.render(rows)}\n", flush=True)
    if not any_data and (reproducing.differs(rows) or report.failed):
        raise ValueError("the data are not as published, or have errors (see above); use --any-data to continue anyway")
    if check_only:
        return
    print(estimate.estimate(plan.settings), file=sys.stderr, flush=True)
    _repair(root)
    folder = studies.run(plan.entry.study, plan.changes, command=["seglib", *sys.argv[1:]])
    if folder is None:
        raise ValueError(f"{name} failed (see above). Finished trainings are kept: the same command runs only what is "
                         "missing")
    rows = reproducing.verdicts(plan)
    print(f"\n{reproducing.render(rows)}\n\nreport: {root / folder}/reports/index.html")
    if reproducing.differs(rows):
        raise typer.Exit(1)


@app.command()
def everything(sample: Sample = False, changes: Changes = None) -> None:
    """Run every study of params.yaml in turn, and make one page of them: studies/everything/index.html.

    A study that fails is left out of the page and named at the end. The same command then runs only what is missing.
    The workspace stays as it is.
    """
    from seglib import params
    from seglib.tools import estimate, studies

    root = _enter_repository()
    _repair(root)
    for name in params.load(studies.PARAMS).studies:
        values = studies.changes_of(name, sample=sample, changes=changes or [])
        print(f"{name}: {estimate.estimate(studies.settings(values))}", file=sys.stderr, flush=True)
    print(root / studies.run_all(sample=sample, changes=changes or []) / "index.html")


@app.command()
def bridge(
    start: Annotated[str, typer.Argument(help="the study whose recipe comes first, such as shapes-2024")],
    end: Annotated[str, typer.Argument(help="the study whose recipe comes last; default: what `run` picks")],
    full: Annotated[bool, typer.Option("--full", help="both recipes at their own size: for a GPU")] = False,
    dry: Annotated[bool, typer.Option("--dry", help="print the steps and the size, no more")] = False,
    changes: Changes = None,
) -> None:
    """Go from one study's recipe to another's, one factor at a time: why does my number differ from the paper's?

    bridges.yaml says which keys each factor moves, and how large the trainings are. At the end, studies/bridge-.../
    holds bridge.csv, bridge.png and a folder per step. The printed table names the step that moves the score most, and
    the steps that reverse the order of two losses. If it is stopped, run the same command to resume it.
    """
    from seglib.tools import bridge as bridging

    root = _enter_repository()
    found = bridging.find(start, end)
    if dry:
        print(bridging.plan(found, full=full, changes=changes or []))
        return
    _repair(root)
    typed = ["seglib", "bridge", start, end, *["--full"] * full]
    typed += [part for change in changes or [] for part in ("-S", change)]
    folder = root / bridging.run(found, full=full, changes=changes or [], command=typed)
    print(f"table: {folder / bridging.TABLE}\nfigure: {folder / bridging.FIGURE}")


@app.command()
def check(
    dataset: Annotated[str, typer.Argument(help="one of `datasets` in params.yaml, or the path of a folder")],
    changes: Changes = None,
) -> None:
    """Say what is wrong with a dataset before an hour is spent on it: every picture is read, as for training.

    If params.yaml does not describe the folder, guess its layout and print the entry for params.yaml.
    """
    from seglib.tools import checking

    folder = Path(dataset).resolve()
    root = _enter_repository()
    known = (root / "params.yaml").exists()
    if not known and not folder.is_dir():
        raise ValueError(f"{dataset} is no folder, and there is no params.yaml here that could name it")
    if folder.is_dir() and not (known and checking.is_dataset(dataset)):
        words, report = checking.check_folder(folder, changes or [], root if known else None)
        print(words)
    else:
        report = checking.check_dataset(dataset, changes or [], root)
    print(report.render())
    if report.failed:
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Check what seglib needs on this machine, and name the command that installs what is missing."""
    from seglib.tools import doctor

    is_well = True
    for finding in doctor.examine(_enter_repository()):
        print(finding, flush=True)
        is_well &= finding.ok or not finding.needed
    if not is_well:
        raise typer.Exit(1)


@app.command()
def repair() -> None:
    """Repair dvc.lock after an interrupted DVC ("'dvc.lock' validation failed")."""
    _repair(_enter_repository())


@app.command()
def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list, and remove nothing")] = False,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="and states of trainings that were stopped")] = False,
) -> None:
    """Remove what nothing live needs: downloads, finished trainings' states, what removed trainings have left."""
    from seglib.tools import cleaning
    from seglib.tools.units import size

    _enter_repository()
    items = cleaning.survey(unfinished=unfinished)
    for item in items:
        print(item)
    going = [item for item in items if not item.stays]
    before = sum(item.bytes for item in going)
    if not going:
        print("nothing to remove")
    elif dry_run:
        print(f"{size(before)} would be freed")
    else:
        for trouble in cleaning.remove(going):
            print(trouble, file=sys.stderr)
        print(f"{size(before - sum(item.bytes for item in going))} freed")


@app.command()
def mlsync() -> None:
    """Make MLflow hold every result, once each: of this workspace, of queued experiments, of a store that was lost."""
    from seglib.pipeline import records, tracking

    _enter_repository()
    records.leave_workspace()
    found = sorted(path for path in records.folder().glob("*")
                   if (path / "training.json").exists() or (path / "comparison.json").exists())
    try:
        changed = sum(tracking.sync(record) for record in found)
    except tracking.unreachable() as error:
        raise ValueError(f"MLflow ({tracking.store_uri()}) cannot be written: {tracking.one_line(error)}") from None
    print(f"MLflow at {tracking.store_uri()}: {len(found)} runs, {changed} brought up to date")


def main() -> None:
    """Run the command. An error that a user can correct is printed as one line."""
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"error: {explain(error) if isinstance(error, OSError) else error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
