"""The `seglib` command: run a study, look at data, predict with a finished run, keep MLflow in step."""

import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Reproducible experiments in image segmentation.")


@app.command()
def show(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset's folder, such as data/prepared/coco")],
    ids: Annotated[list[str] | None, typer.Argument(help="ids of pictures; none: a contact sheet")] = None,
    split: Annotated[str, typer.Option(help="train, val or test; where ids are given, they are looked for in all")]
    = "train",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="the PNG to write; default: DATASET.png")] = None,
) -> None:
    """Draw prepared pictures beside their masks, as one PNG."""
    from seglib.datasets.store import SPLITS, DatasetInfo, Split
    from seglib.figures import pictures

    info = DatasetInfo.read(dataset)
    if split not in SPLITS:
        raise ValueError(f"--split is {split!r}, expected one of {', '.join(SPLITS)}")
    out = out or Path(f"{dataset.resolve().name}.png")
    if not ids:
        pictures.contact_sheet(Split.open(dataset, split), info, out)
    else:
        where = {identifier: (name, row) for name in SPLITS
                 for row, identifier in enumerate(Split.open(dataset, name).index()["id"])}
        if missing := [identifier for identifier in ids if identifier not in where]:
            raise ValueError(f"{dataset} has no picture {', '.join(missing)}; ids look like {next(iter(where))}")
        splits = {where[identifier][0] for identifier in ids}
        if len(splits) > 1:
            raise ValueError(f"the ids stand in several splits ({', '.join(sorted(splits))}); show one split at a time")
        pictures.contact_sheet(Split.open(dataset, splits.pop()), info, out, side=320, columns=2,
                               chosen=[where[identifier][1] for identifier in ids])
    print(out)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="a finished run's folder, such as runs/shapes/munet-mse_dice-1234")],
    images: Annotated[list[Path], typer.Argument(help="pictures in any format Pillow reads")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the folder to write to")],
) -> None:
    """Segment pictures: for each, NAME.mask.png (0 background, k the k-th class) and NAME.overlay.png, at its own size.

    A picture is brought to the size the network was trained at, as in training, and its outputs back to its own. Where
    several classes are present in a pixel, the mask names the one whose output is highest; the overlay shows all.
    """
    from seglib.datasets.images import ImageError, read_rgb
    from seglib.figures import pictures
    from seglib.training.inference import Predictor

    predictor = Predictor(run / "weights.safetensors" if run.is_dir() else run)
    names = Counter(image.name for image in images)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"several pictures are called {repeated[0]}, and would overwrite each other in {out}")
    stems = Counter(image.stem for image in images)
    failed = 0
    for path in images:
        try:
            image = read_rgb(path, upright=True)
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        name = path.name if stems[path.stem] > 1 else path.stem
        shares_KHW = predictor.shares_at_own_size(image)
        planes_KHW = shares_KHW > 0.5
        labels_HW = np.where(planes_KHW.any(0), shares_KHW.argmax(0) + 1, 0).astype(np.uint8)
        mask = Image.fromarray(labels_HW).convert("P")
        mask.putpalette([0, 0, 0, *(channel for k in range(len(planes_KHW)) for channel in pictures.class_color(k))])
        pictures.save_png(mask, out / f"{name}.mask.png")
        drawn = pictures.overlay(np.asarray(image), planes_KHW)
        pictures.save_png(Image.fromarray(drawn), out / f"{name}.overlay.png")
        found = [f"{label} {share:.1%}" for label, share in
                 zip(predictor.header.classes, planes_KHW.mean((1, 2)), strict=True) if share]
        print(f"{path}: {', '.join(found) or 'nothing found'} -> {out / name}.mask.png, .overlay.png")
    if failed:
        raise ValueError(f"{failed} of {len(images)} pictures could not be read")


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="one of `studies` in params.yaml")],
    dry: Annotated[bool, typer.Option("--dry", help="print the command and leave it at that")] = False,
) -> None:
    """Run a named study of params.yaml, as an experiment: its selection in place of `run`, its changes to `train`."""
    from seglib import params
    from seglib.files import repository_root
    from seglib.names import nearest

    os.chdir(repository_root())
    studies = params.load(Path("params.yaml")).studies
    if name not in studies:
        raise ValueError(f"params.yaml has no study '{name}': {nearest(name, list(studies))}")
    command = ["dvc", "exp", "run", *params.as_overrides(studies[name])]
    print(shlex.join(command), flush=True)
    if not dry:
        os.execvp(command[0], command)


@app.command()
def mlsync() -> None:
    """Make MLflow hold every result, once each: of this workspace, of queued experiments, of a store that was lost."""
    from seglib import records, tracking
    from seglib.files import repository_root

    os.chdir(repository_root())
    records.leave_workspace()
    found = sorted(path for path in records.folder().glob("*")
                   if (path / "variant.json").exists() or (path / "comparison.json").exists())
    try:
        changed = sum(tracking.sync(record) for record in found)
    except tracking.unreachable() as error:
        raise ValueError(f"MLflow ({tracking.store_uri()}) cannot be written: {error}") from None
    print(f"MLflow at {tracking.store_uri()}: {len(found)} runs, {changed} brought up to date")


def main() -> None:
    """Run the command; what a user can mend is said in one line."""
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
