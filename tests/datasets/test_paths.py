"""Names that come with data never lead out of their folder, to write or to read."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.configs import DownloadConfig
from seglib.datasets import coco, folder, pets, stanford
from seglib.datasets.samples import Rejection
from seglib.files import file_sha256
from tests.conftest import fetch_config, prepare_config
from tests.datasets.folders import CONFIG
from tests.datasets.hostile_archives import END, member, packed, zip_of

HOSTILE = ["../../up.jpg", "/absolute.jpg", "..", ".", "", "a/b.jpg", "line\nend.jpg", "nul\0.jpg", "../x\0.jpg"]


def jpeg() -> bytes:
    memory = io.BytesIO()
    Image.new("RGB", (8, 8), "gray").save(memory, "JPEG")
    return memory.getvalue()


def all_files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("name", [*HOSTILE, "x" * 300 + ".jpg"])
@pytest.mark.parametrize("mirrored", [True, False])
def test_a_picture_that_annotations_call_so_is_fetched_to_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                  name: str, mirrored: bool):
    """mirrored: the mirror lists the name, as a hostile one would."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repo"))
    mirror, out = tmp_path / "mirror", tmp_path / "repo/data/raw/coco/fetched"
    host = mirror / "images.cocodataset.org"
    (host / "annotations").mkdir(parents=True)
    out.mkdir(parents=True)
    box = {"category_id": 1, "iscrowd": 0, "bbox": [0, 0, 8, 8], "segmentation": [[0, 0, 8, 0, 8, 8]]}
    content = json.dumps({"categories": [{"id": 1, "name": "cat"}], "images": [{"id": 1, "file_name": name}],
                          "annotations": [{"id": 1, "image_id": 1} | box]})
    archive = zip_of(host / "annotations/annotations_trainval2017.zip", "annotations/instances_train2017.json",
                     content.encode())
    (mirror.parent / "up.jpg").write_bytes(jpeg())
    sums = {"images.cocodataset.org/annotations/annotations_trainval2017.zip": file_sha256(archive)}
    if mirrored and name.isprintable():
        sums[f"images.cocodataset.org/train2017/{name}"] = file_sha256(mirror.parent / "up.jpg")
    (mirror / "SHA256SUMS").write_text("".join(f"{digest}  {path}\n" for path, digest in sums.items()))
    before = all_files(tmp_path)
    config = fetch_config({"kind": "coco", "classes": ["cat"], "min_box": 1, "instances": "any"},
                          DownloadConfig(mirror=str(mirror), workers=1, retries=1, timeout=1.0))
    with pytest.raises((ValueError, OSError)) as error:
        coco.fetch(config, out)
    assert "\n" not in str(error.value)
    new = all_files(tmp_path) - before
    assert all(path.startswith(("repo/.work", "repo/data/raw/coco/fetched")) for path in new)
    assert not [path for path in new if path.endswith(".jpg")]


@pytest.mark.parametrize("name", HOSTILE)
def test_pictures_that_pets_lists_call_so_are_only_looked_for_in_the_archive(tmp_path: Path, name: str):
    name = name.replace("\n", "").replace("\0", "") or "x"
    listed = {"annotations/trainval.txt": f"{name} 1 1 1\n".encode(), "annotations/test.txt": b"other 1 1 1\n"}
    packed(tmp_path / pets.ANNOTATIONS, *(member(path, content) for path, content in listed.items()), END)
    packed(tmp_path / pets.IMAGES, member("images/y.jpg", jpeg()), END)
    (tmp_path.parent / "up.jpg.jpg").write_bytes(jpeg())
    before = all_files(tmp_path)
    found = list(pets.read(tmp_path, {"border": "ignore"}, "train"))
    assert all(isinstance(entry, Rejection) for entry in found)
    assert all_files(tmp_path) == before


@pytest.mark.parametrize("form", ["ids", "coco"])
@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_a_folders_lists_and_annotations_open_nothing_outside(tmp_path: Path, name: str, form: str):
    root = tmp_path / "own"
    keys = CONFIG | {"path": str(root), "masks": form, "classes": ["a", "b"], "ignore": [], "val_fraction": 0.0}
    for place in ("images", "masks"):
        (root / place).mkdir(parents=True)
    (root / "images/in.jpg").write_bytes(jpeg())
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / "masks/in.png")
    (tmp_path / "up.jpg").write_bytes(jpeg())
    (root / "annotations.json").write_text(json.dumps(
        {"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], "annotations": [],
         "images": [{"id": 1, "file_name": name}, {"id": 2, "file_name": "in.jpg"}]}))
    (root / "train.txt").write_text(f"in\n{name}\n")
    (root / "test.txt").write_text("other\n")
    out = tmp_path / "raw"
    out.mkdir()
    before = all_files(tmp_path)
    folder.fetch(fetch_config(keys), out)
    new = {path for path in all_files(tmp_path) - before if (tmp_path / path).is_file()}
    expected = {"train.txt", "test.txt", "images/in.jpg", "masks/in.png" if form == "ids" else "annotations.json"}
    assert new == {f"raw/{path}" for path in expected}
    assert not any(isinstance(entry, Rejection) and entry.what == "picture" and entry.id == "in"
                   for entry in folder.read(root, prepare_config(keys), "train"))


def test_a_tarball_of_scenes_writes_base_names_alone(tmp_path: Path):
    names = ["../../images/up.jpg", "/images/abs.jpg", "x/labels/../images/dots.jpg", "images/.hidden.jpg",
             "images/..jpg", "images/plain.jpg", "labels/plain.regions.txt"]
    with tarfile.open(tmp_path / "scenes.tar.gz", "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    out = tmp_path / "raw"
    out.mkdir()
    before = all_files(tmp_path)
    stanford.fetch(fetch_config({"kind": "stanford", "source": os.fspath(tmp_path / "scenes.tar.gz")}), out)
    new = {path for path in all_files(tmp_path) - before if (tmp_path / path).is_file()}
    assert new == {f"raw/{path}" for path in ("images/up.jpg", "images/abs.jpg", "images/dots.jpg", "images/plain.jpg",
                                             "labels/plain.regions.txt")}


def test_a_link_in_a_tarball_of_scenes_is_not_followed(tmp_path: Path):
    link = member("images/link.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    path = packed(tmp_path / "scenes.tar.gz", link, member("images/plain.jpg", b"x"), END)
    assert gzip.decompress(path.read_bytes()).count(b"/etc/passwd") == 1
    out = tmp_path / "raw"
    out.mkdir()
    stanford.fetch(fetch_config({"kind": "stanford", "source": os.fspath(path)}), out)
    assert [file.name for file in (out / "images").iterdir()] == ["plain.jpg"]
