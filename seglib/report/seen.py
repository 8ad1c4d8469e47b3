"""What the pictures show, from the scores of what people see: per loss on one model, per model with one loss."""

from typing import Any

from markupsafe import Markup

from seglib.report.prose import apart, loss_of, losses_on_one_model, model_of, models_with_one_loss
from seglib.report.tables import Comparison
from seglib.report.words import listed, name, number, say

# The score, what it is about, and how its highest and its lowest are called.
SEEN = (
    ("hole_share", "holes", "most holes", "fewest holes"),
    ("specks", "specks", "most specks", "fewest specks"),
    ("completeness", "completeness", "most complete", "least complete"),
    ("wrong_class", "wrong classes", "most wrong classes", "fewest wrong classes"),
    ("missed_small", "missed small objects", "most small objects missed", "fewest small objects missed"),
    ("missed_covered", "missed covered objects", "most covered objects missed", "fewest covered objects missed"),
    ("boundary_iou_dataset", "boundaries", "best boundaries", "worst boundaries"),
)


def seen(comparison: Comparison) -> list[dict[str, Any]]:
    """One table per model with several losses, then per loss with several models.

    It has one row per thing that people see, with the variants of the highest and the lowest score, or neither. It has
    no rows if one of its variants has too few seeds.
    """
    tables = []
    for groups, name_of, others in ((losses_on_one_model(comparison), model_of, "losses"),
                                    (models_with_one_loss(comparison), loss_of, "models")):
        for group in groups:
            too_few = [variant for variant in group if variant in comparison.too_few_seeds]
            rows = [] if too_few else _rows(comparison, group)
            tables.append({"fixed": name_of(group[0]), "others": others, "variants": group, "rows": rows,
                           "too_few_seeds": too_few})
    return tables


def _rows(comparison: Comparison, group: list[str]) -> list[dict[str, Any]]:
    rows = []
    for score, about, most, least in SEEN:
        cells = [comparison.score(variant, score) for variant in group]
        cells = [cell for cell in cells if cell is not None and cell["mean"] is not None]
        if cells:
            rows.append({"score": score, "about": about, "most": most, "least": least, "extremes": apart(cells)})
    return rows


def seen_sentences(comparison: Comparison) -> list[Markup]:
    """One sentence per variant that stands out, and one for what is not told apart."""
    tables = seen(comparison)
    if not tables:
        return [say("This study did not run two losses on one model, nor two models with one loss, so there is nothing "
                    "to tell apart.")]
    return [sentence for table in tables for sentence in _sentences(table)]


def _sentences(table: dict[str, Any]) -> list[Markup]:
    place = say("On {} the losses" if table["others"] == "losses" else "With {} the models", name(table["fixed"]))
    if too_few := table["too_few_seeds"]:
        whose = say(" of {}", listed(map(name, too_few))) if len(too_few) < len(table["variants"]) else ""
        return [say("{} are not compared: too few seeds{}.", place, whose)]
    sentences = []
    for variant in table["variants"]:
        marks = [f"{row[word]} ({number(row['extremes'][i]['mean'])})" for i, word in enumerate(("most", "least"))
                 for row in table["rows"] if row["extremes"] and row["extremes"][i]["variant"] == variant]
        if marks:
            sentences.append(say("{}: {}.", name(variant), listed(marks)))
    unclear = [row["about"] for row in table["rows"] if not row["extremes"]]
    if unclear:
        sentences.append(say("{} are not told apart by {}.", place, listed(unclear, "or")))
    return sentences
