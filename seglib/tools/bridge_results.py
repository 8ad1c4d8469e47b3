"""What the steps of a bridge show: one table of their scores and verdicts, and sentences about it.

Scores, intervals and verdicts are those of each step's own comparison. The only arithmetic here is the difference
between the means of two steps, which no test has looked at.

The table has one row per (step, score, loss): step, factor, changed, score, loss, mean, low, high, one column per seed
(`seed_1234`), and one per pair of losses (`MSE or Dice`) with the loss that is better, "equivalent" or "unknown". The
last step has one row per loss for each other definition of the score.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seglib.figures import bridge as figure
from seglib.metrics.pairwise import BETTER, EQUIVALENT, UNKNOWN
from seglib.metrics.scores import BY_NAME
from seglib.metrics.scores.score import AGGREGATIONS

DEFINITION = "score definition"
UNDECIDED = (EQUIVALENT, UNKNOWN)
OR = " or "
SEED = "seed_"


def gather(steps: Sequence[tuple[str, str]], folders: Sequence[Path], *, model: str, losses: Sequence[str],
           scores: Sequence[str]) -> pd.DataFrame:
    """The table of a bridge.

    Args:
        steps: the factor of each step, and what changed.
        folders: the folder comparisons/<dataset>/tables of each step.
        model: the name of the model in all steps.
        losses: the names of the losses in all steps.
        scores: the score of the steps, then the other definitions of the last step.
    """
    rows = []
    for number, ((factor, changed), folder) in enumerate(zip(steps, folders, strict=True)):
        rows += _rows(folder, model, losses, scores[0], {"step": number, "factor": factor, "changed": changed})
    for score in scores[1:]:
        about = {"step": len(steps), "factor": DEFINITION, "changed": f"score {scores[0]} → {score}"}
        rows += _rows(folders[-1], model, losses, score, about)
    return pd.DataFrame(rows)


def _rows(folder: Path, model: str, losses: Sequence[str], score: str, about: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one step under one score."""
    scores, pairs, trainings = (pd.read_csv(folder / f"{name}.csv") for name in ("scores", "pairs", "training_scores"))
    label = {loss: _label(scores["variant"], f"{model} {loss}") for loss in losses}
    verdicts = {OR.join(pair): _verdict(pairs[pairs["score"] == score], label, pair)
                for pair in itertools.combinations(losses, 2)}
    of_test = scores[(scores["split"] == "test") & (scores["score"] == score)].set_index("variant")
    of_seed = trainings[(trainings["split"] == "test") & (trainings["score"] == score) & trainings["class"].isna()]
    rows = []
    for loss in losses:
        prefix = f"{model}-{loss}-"
        own = of_seed[of_seed["training"].str.startswith(prefix)]
        seeds = {f"{SEED}{name.removeprefix(prefix)}": value
                 for name, value in zip(own["training"], own["value"], strict=True)}
        rows.append(about | {"score": score, "loss": loss} | of_test.loc[label[loss], ["mean", "low", "high"]].to_dict()
                    | seeds | verdicts)
    return rows


def _label(variants: pd.Series, name: str) -> str:
    """The label of a variant in a comparison, which joins the names of variants with equal configurations."""
    return next(label for label in variants if name in label.split(" = "))


def _verdict(pairs: pd.DataFrame, label: dict[str, str], pair: tuple[str, str]) -> str:
    """The loss that is better, or the comparison's verdict if none is; "unknown" if it did not compare the two."""
    for loss, other in itertools.permutations(pair):
        row = pairs[(pairs["a"] == label[loss]) & (pairs["b"] == label[other])]
        if len(row):
            verdict = row["verdict"].iloc[0]
            return loss if verdict == BETTER else EQUIVALENT if verdict == EQUIVALENT else UNKNOWN
    return UNKNOWN


def title_of(score: str) -> str:
    """A score's heading, and how it is aggregated over pictures."""
    found = BY_NAME[score]
    return found.heading if found.aggregation is None else f"{found.heading}, {AGGREGATIONS[found.aggregation].title}"


def pairs_of(table: pd.DataFrame) -> list[str]:
    return [column for column in table.columns if OR in column]


def positions(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each step, in turn; those of each definition of the score by themselves."""
    return [rows for _, rows in table.groupby(["step", "score"], sort=False)]


def draw(table: pd.DataFrame, path: Path, *, title: str, size: str) -> None:
    """Draw the figure of a bridge. size: the sizes of the trainings, for the line under the figure."""
    names = {}
    for rows in positions(table):
        about = rows.iloc[0]
        is_definition = about["factor"] == DEFINITION
        names[about["step"], about["score"]] = (title_of(about["score"]) if is_definition
                                                else f"{about['step']}: {about['factor']}")
    figure.draw(table, path, names=names, steps=table[table["factor"] != DEFINITION]["step"].nunique(),
                pairs=pairs_of(table), title=title, score=title_of(table["score"].iloc[0]), below=f"Size: {size}")


def render(table: pd.DataFrame) -> str:
    """The table in Markdown, and the sentences about it."""
    losses, pairs = list(dict.fromkeys(table["loss"])), pairs_of(table)
    lines = [["step", "factor", "what changed", *losses, *pairs], ["---"] * (3 + len(losses) + len(pairs))]
    for rows in positions(table):
        first = rows.iloc[0]
        lines.append([str(first["step"]), first["factor"], first["changed"],
                      *(f"{row.mean:.3f} ({row.low:.3f} to {row.high:.3f})" for row in rows.itertuples(index=False)),
                      *(first[pair] for pair in pairs)])
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *sentences(table)])


def sentences(table: pd.DataFrame) -> Iterator[str]:
    """Which step moves the score most, which definition does, and which step flips which verdict."""
    is_definition = table["factor"] == DEFINITION
    steps, definitions = table[~is_definition], table[is_definition]
    for loss, rows in steps.groupby("loss", sort=False):
        yield _largest_step(loss, rows)
    for loss, rows in definitions.groupby("loss", sort=False):
        last = steps[steps["loss"] == loss]["mean"].iloc[-1]
        largest = rows.loc[(rows["mean"] - last).abs().idxmax()]
        yield (f"{loss}: the definition that moves the score of the last step most is {largest['score']}: "
               f"{last:.3f} → {largest['mean']:.3f}.")
    flips = list(_flips(table))
    yield from flips or ["No step flips a verdict."]
    undecided = [pair for pair in pairs_of(table) if table[pair].isin(UNDECIDED).all()]
    if undecided:
        yield f"No step decides which is better: {'; '.join(undecided)}."


def _largest_step(loss: str, rows: pd.DataFrame) -> str:
    moves = list(itertools.pairwise(rows.itertuples(index=False)))
    before, after = max(moves, key=lambda move: abs(move[1].mean - move[0].mean))
    if before.mean == after.mean:
        return f"{loss}: no step moves the score."
    return (f"{loss}: the step that moves the score most is {after.step}, {after.factor}: "
            f"{before.mean:.3f} → {after.mean:.3f}.")


def _flips(table: pd.DataFrame) -> Iterator[str]:
    """A verdict flips if one loss is better, and the other was at the last step before it that decided the pair."""
    for pair in pairs_of(table):
        decided = None
        for rows in positions(table):
            now = rows.iloc[0]
            if now[pair] in UNDECIDED:
                continue
            if decided is not None and decided[pair] != now[pair]:
                yield (f"{pair}: {decided[pair]} is better at step {decided['step']} ({decided['factor']}), "
                       f"{now[pair]} at step {now['step']} ({now['factor']}"
                       f"{': ' + now['score'] if now['factor'] == DEFINITION else ''}).")
            if now["factor"] != DEFINITION:  # each definition is held against the last step
                decided = now
