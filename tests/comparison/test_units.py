"""A group of pictures is one random draw: groups of equal pictures give the intervals of one picture per group."""

import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seglib.comparison.evidence import Evidence
from seglib.comparison.summary import facts_of, summary
from seglib.comparison.variants import Variant, load
from seglib.configs import CompareConfig
from seglib.metrics.cases import Cases
from seglib.metrics.inference import of_score
from seglib.metrics.ranking import SplitHistograms
from seglib.metrics.scores import HEADLINE, SCORES
from tests.comparison.conftest import GOOD, MARGIN, Compared
from tests.conftest import prepare_config

COPIES = 10


def copied(variant: Variant, out: Path, *, grouped: bool) -> Variant:
    """The variant, if each test picture were there ten times; `grouped`: and these ten were one group."""
    results = []
    for result in variant.results:
        cases = result.cases["test"]
        path = out / f"{result.files.name}.npz"
        np.savez(path, test_whole=cases.histograms.whole_KB2() * COPIES,
                 test_by_picture=cases.histograms.by_picture_NKB2().repeat(COPIES, axis=0))
        units_N = np.arange(cases.pictures).repeat(COPIES) if grouped else None
        many = Cases({name: column.repeat(COPIES, axis=0) for name, column in cases.columns.items()},
                     SplitHistograms(path, "test"), units_N)
        results.append(dataclasses.replace(result, cases=result.cases | {"test": many}))
    return dataclasses.replace(variant, results=results)


def test_ten_equal_pictures_of_a_group_count_as_one(compared: Compared, tmp_path: Path):
    variant = compared.variant(GOOD)
    variant = dataclasses.replace(variant, results=variant.results[:1])  # so that only pictures vary
    widths = {}
    for name, one in (("single", variant), ("grouped", copied(variant, tmp_path, grouped=True)),
                      ("loose", copied(variant, tmp_path, grouped=False))):
        cases = one.cases_S("test")[0]
        for score in SCORES:
            blocks = score.blocks(one.cases_S("test"), True)
            assert blocks.units == cases.units
            widths.setdefault(score.name, {})[name] = np.sqrt(of_score(blocks).variance)
    known = {name: of for name, of in widths.items() if 0 < of["single"] < math.inf}
    assert len(known) > len(SCORES) / 2
    for name, of in known.items():
        np.testing.assert_allclose(of["grouped"], of["single"], rtol=1e-9, err_msg=name)
    narrower = [of["grouped"] / of["loose"] for of in known.values()]
    assert np.median(narrower) == pytest.approx(math.sqrt(COPIES), rel=0.15)


@pytest.mark.parametrize("groups", [None, 4])
def test_a_prepared_dataset_says_what_its_groups_are(made_up: Compared, tmp_path: Path, groups: int | None,
                                                     monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "study"
    shutil.copytree(made_up.folder, folder)
    monkeypatch.chdir(folder)
    prepared = Path("data/prepared/shapes")
    for split in ("val", "test") if groups else ():
        index = pd.read_parquet(prepared / split / "index.parquet")
        units = [f"patient {(number * 7) % groups}" for number in range(len(index))]
        index.assign(unit=units).to_parquet(prepared / split / "index.parquet")
    variants = load("shapes", made_up.info)
    cases = variants[0].cases_S("test")[0]
    assert (cases.pictures, cases.units) == (26, groups or 26)
    if groups:  # summed by hand
        numbers = np.array([(number * 7) % groups for number in range(26)])
        expected = {number: cases["tp"][numbers == number].sum(0).tolist() for number in range(groups)}
        assert sorted(cases.by_unit(cases["tp"]).tolist()) == sorted(expected.values())
    config = CompareConfig(pictures=1, gallery=1, margin=MARGIN, failed_below=None, tolerance=1, boundary_band=None,
                           coursework=False,
                           absent_costs=dict.fromkeys(("good", "alias", "same", "bad"), {}), generated=True,
                           prepare=prepare_config({"kind": "shapes"}))
    about = summary("shapes", made_up.info, variants, facts=facts_of(prepared, made_up.info), sizes=[1.0, 2.0],
                    config=config, floor=None, prepared=prepared, snapshots={}, confidence=0.95)
    assert about.get("units") == ({"test": groups, "val": groups} if groups else None)
    scores = Evidence(variants, MARGIN).score_table()
    assert np.isfinite(scores.loc[(scores["score"] == HEADLINE.name) & (scores["split"] == "test"), "low"]).all()
