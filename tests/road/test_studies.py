"""Every study of params.yaml, by its README command at sample size, to a report; in one fresh clone."""

import hashlib
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib import params
from seglib.files import read_json
from tests.conftest import ROOT, shared
from tests.road.clones import clone, run

pytestmark = [pytest.mark.road, pytest.mark.slow, pytest.mark.timeout(3000)]

STUDIES = params.load(ROOT / "params.yaml").studies


def background_tarball(pictures: int) -> bytes:
    """Stanford Background's tarball in its own format: scenes of a sky, a tree and a road, and unknown pixels."""
    random = np.random.default_rng(0)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for number in range(pictures):
            horizon, trunk = random.integers(20, 60), random.integers(10, 90)
            regions_HW = np.zeros((80, 107), np.int64)  # sky
            regions_HW[horizon:] = 2  # road
            regions_HW[10:horizon + 10, trunk:trunk + 12] = 1  # tree
            regions_HW[:, :2] = -1
            colors = np.array([[120, 170, 230], [30, 110, 40], [110, 110, 115], [0, 0, 0]])
            picture = (colors[regions_HW] + random.normal(0, 12, (80, 107, 3))).clip(0, 255).astype(np.uint8)
            jpeg = io.BytesIO()
            Image.fromarray(picture).save(jpeg, "JPEG")
            text = "\n".join(" ".join(map(str, row)) for row in regions_HW)
            for name, data in ((f"images/{number:07d}.jpg", jpeg.getvalue()),
                               (f"labels/{number:07d}.regions.txt", text.encode())):
                member = tarfile.TarInfo(f"iccv09Data/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A clone, and a mirror: the real samples of Pets and COCO, and a made one of Stanford Background."""
    real = shared("mirror")
    folder = tmp_path_factory.mktemp("studies")
    mirror = folder / "mirror"
    mirror.mkdir()
    for host in (path for path in real.iterdir() if path.is_dir()):
        (mirror / host.name).symlink_to(host)
    tarball, name = background_tarball(24), "dags.stanford.edu/data/iccv09Data.tar.gz"
    (mirror / name).parent.mkdir(parents=True)
    (mirror / name).write_bytes(tarball)
    sums = (real / "SHA256SUMS").read_text()
    (mirror / "SHA256SUMS").write_text(f"{sums}{hashlib.sha256(tarball).hexdigest()}  {name}\n")
    return clone(folder / "workshop"), mirror


def test_every_study_runs_to_one_report(workshop: tuple[Path, Path]):
    repository, mirror = workshop
    output = run(repository, "seglib", "everything", "--sample", "-S", f"fetch.mirror={mirror}")
    assert run(repository, "git", "status", "--porcelain") == ""
    assert not any((repository / name).exists() for name in ("conf", "runs", "results", "comparisons", "reports"))
    for name, study in STUDIES.items():
        assert f"seglib study {name} --sample -S" in output
        dataset, = study.datasets
        page = (repository / "studies" / name / "reports/index.html").read_text()
        assert f"<h2>{dataset}</h2>" in page
        summary = read_json(repository / "studies/everything" / name / dataset / "tables/summary.json")
        ran = {label.split(" ")[0] for label in summary["configs"] if label not in summary["baselines"]}
        assert ran == set(study.models), name
    page = (repository / "studies/everything/index.html").read_text()
    titles = [name if [name] == study.datasets else f"{name} ({study.datasets[0]})" for name, study in STUDIES.items()]
    assert sorted(re.findall(r'class="dataset" data-dataset="([^"]+)"', page)) == sorted(titles)
