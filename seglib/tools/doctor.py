"""Check which of seglib's needs this machine meets, and name the command that installs what is missing.

Nothing of seglib's environment is imported before it has been looked at, so that this runs where little else does.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from seglib.pipeline.workspace import raw_folder, revision

if TYPE_CHECKING:
    from seglib.params import Params
    from seglib.params.datasets import Dataset

PYTHON = (3, 11)
MEMORY, DISK = 4e9, 5e9  # bytes: what the default study takes, its tests included, with as much again to spare
PATIENCE = 5.0  # seconds that a host has to answer
INSTALL = "python -m pip install --constraint constraints.txt --editable '.[test]'"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was checked. fix: the command, or what to do, if it is not ok."""

    name: str
    ok: bool
    text: str
    fix: str = ""
    needed: bool = True  # whether `make repro` with params.yaml as it stands fails without it

    def __str__(self) -> str:
        state = "ok" if self.ok else "missing" if self.needed else "note"
        line = f"{state:<8} {self.name:<11} {self.text}"
        return line if self.ok else f"{line}\n{'':<20} -> {self.fix}"


def examine(root: Path) -> Iterator[Finding]:
    """Everything that can be looked at from the repository's root, the quick things first."""
    yield _python()
    yield from _packages(root)
    yield from _repository(root)
    yield _memory()
    yield _disk(root)
    yield _chromium()
    has_torch = importlib.util.find_spec("torch") is not None
    if has_torch:
        yield from _torch()
    if has_torch and importlib.util.find_spec("pydantic") and importlib.util.find_spec("ruamel"):
        yield from _sources(root)


def _python() -> Finding:
    wanted = ".".join(map(str, PYTHON))
    return Finding(name="Python", ok=sys.version_info >= PYTHON, text=f"{platform.python_version()} ({sys.executable})",
                   fix=f"needs {wanted} or newer: make PYTHON=python{wanted} repro")


def _packages(root: Path) -> Iterator[Finding]:
    """What pyproject.toml asks for, and whether it has the versions that were tested."""
    constraints = dict(line.split("==") for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
                       if "==" in line and not line.startswith("#"))
    absent, tools, other = [], [], []
    for requirement in metadata.requires("seglib") or ():
        name, is_test = re.split(r"[\[ ;<=>!~]", requirement)[0], "extra ==" in requirement
        if _version(name) is None:
            (tools if is_test else absent).append(name)
    for name, version in constraints.items():
        found = _version(name)
        if found is not None and found.partition("+")[0] != version.strip():  # torch's build is a suffix
            other.append(f"{name} {found} (tested: {version.strip()})")
    yield Finding(name="packages", ok=not absent, fix=INSTALL,
                  text=f"{', '.join(absent)} not installed" if absent else "all that seglib imports")
    yield Finding(name="versions", ok=not other, needed=False, fix=INSTALL,
                  text=", ".join(other) or "all as in constraints.txt")
    yield Finding(name="test tools", ok=not tools, needed=False, fix=INSTALL,
                  text=f"{', '.join(tools)} not installed" if tools else "all that the tests import")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _repository(root: Path) -> Iterator[Finding]:
    """git, which DVC needs for experiments, and DVC."""
    git = shutil.which("git")
    yield Finding(name="git", ok=git is not None, text=git or "not found", fix="sudo apt-get install git")
    if git is not None:
        with contextlib.chdir(root):
            commit = revision()
        yield Finding(name="repository", ok=commit != "", text=commit or f"no commit in {root}",
                      fix="git clone it; or git init && git add --all && git commit -m start")
        unnamed = [f"user.{what}" for what in ("name", "email")
                   if not _output("git", "-C", str(root), "config", f"user.{what}")
                   and f"GIT_COMMITTER_{what.upper()}" not in os.environ]
        yield Finding(name="git user", ok=not unnamed, needed=False, text="named" if not unnamed else
                      f"{' and '.join(unnamed)} not set, and `dvc exp run` (so `seglib study`) commits in that name",
                      fix=" && ".join(f"git config {key} YOURS" for key in unnamed))
        changed = _output("git", "-C", str(root), "diff", "HEAD", "--name-only", "--", "params.yaml")
        yield Finding(name="params", ok=not changed, needed=False, fix="git checkout params.yaml",
                      text="params.yaml differs from the last commit, as `dvc exp run` leaves it: the next run builds "
                           "on it" if changed else "params.yaml as committed")
    dvc = shutil.which("dvc", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    yield Finding(name="dvc", ok=dvc is not None, text=dvc or "not found", fix=INSTALL)
    yield Finding(name="pipeline", ok=(root / "dvc.yaml").exists() and (root / ".dvc/config").exists(), text=str(root),
                  fix="run seglib inside its repository, which holds dvc.yaml and .dvc/")
    if _version("dvc") is not None:
        from seglib.pipeline import repair

        damaged = repair.damaged(root)
        yield Finding(name="DVC's files", ok=not damaged, fix="seglib repair", text="whole" if not damaged else
                      f"{' and '.join(damaged)} cannot be read, as where DVC was ended while it wrote")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _memory() -> Finding:
    """Physical memory, or the container's limit where that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        memory = min(memory, int(text))
    return Finding(name="memory", ok=memory >= MEMORY, needed=False, text=f"{memory / 1e9:.1f} GB",
                   fix=f"less than {MEMORY / 1e9:.0f} GB: lower train.batch_size, and datasets.*.image_size")


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free
    return Finding(name="disk", ok=free >= DISK, text=f"{free / 1e9:.1f} GB free",
                   fix=f"less than {DISK / 1e9:.0f} GB: seglib clean --dry-run")


def _chromium() -> Finding:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    driver = shutil.which("chromedriver")
    text = f"{found or 'no Chromium: no `make pdf`'}; {driver or 'no chromedriver: tests of the page skip'}"
    return Finding(name="Chromium", ok=bool(found and driver), needed=False, text=text,
                   fix="sudo apt-get install chromium chromium-driver")


def _torch() -> Iterator[Finding]:
    """PyTorch, the device that `train.device: auto` takes, and what `train.precision: auto` comes to on it."""
    try:
        import torch

        from seglib.cores import physical_cores
        from seglib.training.device import choose_device, choose_precision
    except (ImportError, OSError) as error:  # a library that a wheel was not built for
        yield Finding(name="torch", ok=False, text=str(error).splitlines()[0], fix=INSTALL)
        return
    device = choose_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {physical_cores()} cores"
    yield Finding(name="torch", ok=True, text=torch.__version__)
    idle_gpu = device.type == "cpu" and shutil.which("nvidia-smi") is not None
    yield Finding(name="device", ok=not idle_gpu, needed=False,
                  text=f"{name}{'; nvidia-smi is here, but this PyTorch sees no GPU' * idle_gpu}",
                  fix="python -m pip install --force-reinstall --constraint constraints.txt torch")
    has_bf16 = choose_precision("auto", device) == "bf16"
    yield Finding(name="bf16", ok=True, text="this device multiplies in it" if has_bf16 else
                  "not on this device: precision: auto is fp32, some 2 times slower")


def _sources(root: Path) -> Iterator[Finding]:
    """Whether data and pretrained weights of params.yaml can be had; needed are those that its `run` picks."""
    from seglib import params

    try:
        settings = params.load(root / "params.yaml")
    except (ValueError, OSError) as error:
        yield Finding(name="params", ok=False, text=str(error).splitlines()[0],
                      fix="correct params.yaml as the message says")
        return
    yield _together(settings)
    yield _user_paths(settings, root)
    mirror = None if settings.fetch.mirror is None else (root / settings.fetch.mirror).resolve()
    picked = settings.run
    jobs = [functools.partial(_dataset, root, mirror, name, dataset, name in picked.datasets)
            for name, dataset in settings.datasets.items()]
    pretrained: dict[tuple[str, str], list[str]] = {}
    for name, model in settings.models.items():
        if model.declared.has_encoder and model.weights != "none":
            pretrained.setdefault((model.encoder, model.weights), []).append(name)
    jobs += [functools.partial(_weights, root, encoder, weights, models, any(name in picked.models for name in models))
             for (encoder, weights), models in pretrained.items()]
    with ThreadPoolExecutor(len(jobs)) as pool:  # a host that does not answer is waited for beside the others
        yield from pool.map(lambda job: job(), jobs)


def _together(settings: "Params") -> Finding:
    """How many trainings `train.together` runs at once here."""
    from seglib import resolve
    from seglib.cores import physical_cores
    from seglib.training.device import choose_device
    from seglib.training.together import places

    train, found = settings.train, functools.partial(Finding, name="together", needed=False)
    try:
        device = choose_device(train.device)
    except ValueError as error:  # there is no such device here
        return found(ok=False, text=str(error), fix="-S train.device=auto")
    asked, threads = resolve.machine_config(settings).together, train.threads or physical_cores()
    if device.type == "cuda":
        most = "as many trainings as memory and speed allow" if asked is None else f"up to {asked} trainings"
        return found(ok=True, text=f"{most} at once, in one process")
    most = places(device, threads, asked)
    idle = asked != 1 and most * threads < physical_cores()
    text = (f"{most} training{'s' * (most > 1)} at once, {threads} thread{'s' * (threads > 1)} each, on "
            f"{physical_cores()} cores")
    return found(ok=not idle, text=text, fix="train.together: auto with train.threads: 1 uses all cores")


def _user_paths(settings: "Params", root: Path) -> Finding:
    from seglib.params import ParamsError
    from seglib.pipeline.user_paths import refuse_overlap

    try:
        refuse_overlap(settings, root)
    except ParamsError as error:
        return Finding(name="paths", ok=False, text=str(error).splitlines()[0],
                       fix="move the files, then change the path in params.yaml")
    return Finding(name="paths", ok=True, text="no path of params.yaml is where the pipeline writes")


def _dataset(root: Path, mirror: Path | None, name: str, dataset: "Dataset", needed: bool) -> Finding:
    from seglib.datasets import coco, pets, shapes, stanford

    urls = {"coco": coco.ANNOTATIONS, "pets": f"{pets.HOST}/{pets.ANNOTATIONS}", "stanford": stanford.TARBALL,
            "shapes": shapes.TARBALL}
    found = functools.partial(Finding, name=name, needed=needed)
    if (root / raw_folder(name)).is_dir():
        return found(ok=True, text=f"fetched: {raw_folder(name)}")
    if not dataset.from_network():
        if not dataset.user_paths():
            return found(ok=True, text="generated here")
        paths = {key: root / getattr(dataset, key) for key in dataset.user_paths()}
        key = next((key for key, path in paths.items() if not path.exists()), next(iter(paths)))
        return found(ok=paths[key].exists(), text=f"{paths[key]} {'is' if paths[key].exists() else 'is not'} there",
                     fix=f"say where it is: -S datasets.{name}.{key}=PATH")
    if dataset.kind not in urls:
        return found(ok=True, text="comes from a network that is not asked here")
    url = urls[dataset.kind]
    if mirror is not None:
        parts = urlsplit(url)
        path = mirror / f"{parts.netloc}{parts.path}"
        return found(ok=path.is_file() and (mirror / "SHA256SUMS").is_file(), text=f"mirror: {path}",
                     fix="the mirror lacks it, or its SHA256SUMS; to ask the network: -S fetch.mirror=null")
    answer = _answer(url)
    return found(ok=answer == "", text=f"{urlsplit(url).netloc} {answer or 'answers'}",
                 fix="a network, or a folder that mirrors it (docs/own-data.md): -S fetch.mirror=FOLDER")


def _weights(root: Path, encoder: str, weights: str, models: list[str], needed: bool) -> Finding:
    """The weights of an encoder, as `models` name them."""
    from huggingface_hub import hf_hub_url, try_to_load_from_cache

    from seglib.models.resnet import ENCODERS, WEIGHTS_FILE

    found = functools.partial(Finding, name="weights", needed=needed,
                              fix=f"a network once, or a local folder or none for -S models.{models[0]}.weights=")
    if weights != "imagenet":
        path = root / weights / WEIGHTS_FILE
        return found(ok=path.is_file(), text=f"{path}, for {', '.join(models)}")
    at, revision = ENCODERS[encoder].repository, ENCODERS[encoder].revision
    if isinstance(try_to_load_from_cache(at, WEIGHTS_FILE, revision=revision), str):
        return found(ok=True, text=f"ImageNet's for {encoder}: in the cache of the hub's client")
    answer = _answer(hf_hub_url(at, WEIGHTS_FILE, revision=revision))
    return found(ok=answer == "", text=f"ImageNet's for {encoder} ({', '.join(models)}): huggingface.co "
                                       f"{answer or 'answers'}")


def _answer(url: str) -> str:
    """What is wrong with a host's answer to HEAD; "" for nothing."""
    import requests

    try:
        response = requests.head(url, timeout=PATIENCE, allow_redirects=True)
    except requests.RequestException as error:
        return f"does not answer ({type(error).__name__})"
    return "" if response.ok else f"answers {response.status_code} {response.reason}"
