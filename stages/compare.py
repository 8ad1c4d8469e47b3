"""Compare the variants of a dataset: tables, curves, pictures. `python -m stages.compare shapes`"""

from pathlib import Path

import pandas as pd

import stages
from seglib.comparison import agreement, claims, conventions, curves, drawings, gallery, published, tables, verdicts
from seglib.comparison.baselines import baseline_table
from seglib.comparison.coursework import coursework
from seglib.comparison.evidence import CONFIDENCE, Evidence
from seglib.comparison.failures import Floor
from seglib.comparison.findings import conclusion, findings, warnings
from seglib.comparison.provenance import provenance_table
from seglib.comparison.published_values import Data
from seglib.comparison.summary import facts_of, summary
from seglib.comparison.variants import compared, load, trained
from seglib.configs import CompareConfig
from seglib.datasets.store import Contents, DatasetInfo, Split
from seglib.files import atomic_folder, write_json
from seglib.metrics.cases import size_edges
from seglib.metrics.scores import HEADLINE
from seglib.models.munet_facts import munets
from seglib.pipeline import records, tracking
from seglib.pipeline.code import RunningCode
from seglib.pipeline.workspace import dataset_config, prepared_folder


def main(dataset: str) -> None:
    """Fill comparisons/DATASET with all that the page shows of this dataset."""
    prepared = prepared_folder(dataset)
    info, val, test = DatasetInfo.read(prepared), *(Split.open(prepared, name) for name in ("val", "test"))
    code = RunningCode(dataset_config(dataset, "compare"))
    config = CompareConfig.read(dataset_config(dataset, "compare"))
    tried, printed = claims.load(Path("claims.yaml")), published.load(Path("published.yaml"))
    variants = load(dataset, info)
    evidence, shown = Evidence(variants, config.margin), compared(variants)
    floor = Floor.of(variants, config.failed_below)
    sizes, facts = size_edges(variants[0].results[0].objects), facts_of(prepared, info)

    scores, pairs = evidence.score_table(), evidence.pair_table()
    ranking, points, trainings = (evidence.ranking(scores, pairs, floor), curves.curve_table(variants),
                                  curves.training_table(variants))
    written = {
        "scores": scores, "pairs": pairs, "ranking": ranking, "curves": points, "trainings": trainings,
        "training_scores": tables.training_scores(variants, info.classes),
        "seed_scores": tables.seed_table(variants), "seed_classes": tables.seed_class_table(variants, info.classes),
        "baselines": baseline_table(evidence, test, info.task),
        "classes": tables.class_table(variants, info.classes, evidence.class_intervals(HEADLINE, info.classes)),
        "groups": tables.group_table(evidence, sizes, facts), "group_pairs": evidence.group_pair_table(),
        "gradients": curves.gradient_table(variants),
        "confusion": tables.confusion_table(variants, info.classes, info.task),
        "dice_names": tables.dice_names(variants, test, info.task), "provenance": provenance_table(variants),
        "conventions": conventions.convention_table(variants),
        "reversals": conventions.reversal_table(evidence, pairs)}
    data = Data.of_prepared(info, Contents.read(prepared), generated=config.generated)
    sources = agreement.Sources(entries=printed, dataset=dataset, data=data, prepare=config.prepare)
    decided, judged = verdicts.decide(tried, evidence, sources), agreement.judge(sources, variants)

    with atomic_folder(Path("comparisons") / dataset, keeps_others=True) as out:
        for folder in ("tables", "figures", "gallery"):
            (out / folder).mkdir()
        for name, table in written.items():
            _write_csv(table, out / "tables" / f"{name}.csv")
        write_json(out / "tables" / "claims.json", decided)
        networks = [(variant.names, variant.config) for variant in trained(variants)]
        write_json(out / "tables" / "munet.json", munets(networks, classes=len(info.classes)))
        write_json(out / "tables" / "published.json", judged)
        _write_csv(points[points["curve"] == "train window"], out / "curves.csv")
        _write_csv(ranking, out / "ranking.csv")
        drawings.draw_curves(variants, points, trainings, out / "figures")
        drawings.draw_pictures(shown, tables.pick_pictures(shown, config.pictures), info, test,
                               out / "figures" / "pictures.png")
        snapshots = drawings.draw_snapshots(variants, info, val, out / "figures")
        about = summary(dataset, info, variants, facts=facts, sizes=sizes, config=config, floor=floor,
                        prepared=prepared, snapshots=snapshots, confidence=CONFIDENCE)
        write_json(out / "tables" / "summary.json", about)
        found = findings(written, seedless=about["seedless"], floor=about["floor"])
        write_json(out / "tables" / "findings.json", found)
        if config.coursework:
            write_json(out / "tables" / "coursework.json", coursework(about, written))
        gallery.write_gallery(shown, info, test, count=config.gallery, out=out / "gallery")
        code.check()
    tracking.try_sync(records.leave_comparison(dataset), *records.leave_scores(dataset))
    for line in [conclusion(found["answer"], CONFIDENCE), *warnings(found)]:
        print(f"{dataset}: {line}")
    for verdict in dict.fromkeys(claim["verdict"] for claim in decided):
        print(f"{dataset}: claims {verdict}: {', '.join(c['id'] for c in decided if c['verdict'] == verdict)}")


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


if __name__ == "__main__":
    stages.run(main)
