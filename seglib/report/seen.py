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
    """For each model with several losses, then each loss with several models: for each thing people see, the highest
    and the lowest, or neither."""
    tables = []
    for groups, name_of, others in ((losses_on_one_model(comparison), model_of, "losses"),
                                    (models_with_one_loss(comparison), loss_of, "models")):
        for group in groups:
            rows = []
            for score, about, most, least in SEEN:
                cells = [comparison.score(variant, score) for variant in group]
                cells = [cell for cell in cells if cell is not None and cell["mean"] is not None]
                if cells:
                    rows.append({"score": score, "about": about, "most": most, "least": least,
                                 "extremes": apart(cells)})
            tables.append({"fixed": name_of(group[0]), "others": others, "variants": group, "rows": rows})
    return tables


def seen_sentences(comparison: Comparison) -> list[Markup]:
    """One sentence a variant that stands out, one for what is not told apart."""
    tables = seen(comparison)
    if not tables:
        return [say("This study did not run two losses on one model, nor two models with one loss, so there is nothing "
                    "to tell apart.")]
    return [sentence for table in tables for sentence in _sentences(table)]


def _sentences(table: dict[str, Any]) -> list[Markup]:
    sentences = []
    for variant in table["variants"]:
        marks = [f"{row[word]} ({number(row['extremes'][i]['mean'])})" for i, word in enumerate(("most", "least"))
                 for row in table["rows"] if row["extremes"] and row["extremes"][i]["variant"] == variant]
        if marks:
            sentences.append(say("{}: {}.", name(variant), listed(marks)))
    unclear = [row["about"] for row in table["rows"] if not row["extremes"]]
    if unclear:
        text = "On {} the losses are not told apart by {}." if table["others"] == "losses" else (
            "With {} the models are not told apart by {}.")
        sentences.append(say(text, name(table["fixed"]), listed(unclear, "or")))
    return sentences
