"""Settings of one method beside each other: leakage, content and retrieval of each, and every score behind them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from unbraid.errors import UserError
from unbraid.records import Record
from unbraid.report import tables
from unbraid.report.tables import Tradeoff

_COLUMNS = ("mean", "error", "low", "high", "chance", "num_seeds", "higher_is_better", "note")


def tradeoff(scores: Sequence[Record]) -> Tradeoff:
    """Raises: UserError if no probe could read the domain of these data."""
    found = tables.tradeoff(tables.score_rows(scores), scores[0].data) if scores else None
    if found is None:
        raise UserError("no leakage was measured: the domain has one value only, or there are no test rows")
    return found


def summary(scores: Sequence[Record], first: str) -> str:
    """One line for each setting in the order of ``scores``, whose ``method`` is the setting; then what can be said.

    Args:
        first: The heading of the first column.
    """
    found = tradeoff(scores)
    means = tables.means(tables.score_rows(scores))
    whole = means[(means["metric"] == "retrieval") & (means["column"] == "") & (means["variant"] == "top-1, all")]
    retrieved = {row["method"]: row for row in whole.to_dict("records")}
    lines = []
    for name in dict.fromkeys(record.method for record in scores):
        point, line = found.methods[name], [name]
        for key in ("leakage", "content"):
            line.append(_span(point[key], point[f"{key}_low"], point[f"{key}_high"]))
        row = retrieved.get(name)
        lines.append([*line, _span(row["mean"], row["low"], row["high"]) if row else ""])
    chances = [np.mean([point[f"{key}_chance"] for point in found.methods.values()]) for key in ("leakage", "content")]
    chance = ["chance", *map(_number, chances), _number(whole["chance"].mean())]
    leakage = f"leakage of {found.domain} (lower; {found.probe})"
    content = f"content (higher; {found.content_probe or 'none'}, mean over {', '.join(found.factors) or 'nothing'})"
    table = tables.markdown_table([first, leakage, content, "retrieval of all at once (higher)"], [*lines, chance])
    return "\n".join([table, *tables.sentences(found)]) + "\n"


def every_score(scores: Sequence[Record]) -> str:
    """All but the controls on shuffled labels, which stand in the report and beside the numbers."""
    measured = [record for record in scores if not record.variant.endswith(tables.CONTROL)]
    return "## Every score\n\n" + tables.markdown(tables.tables(tables.score_rows(measured)))


def rows(scores: Sequence[Record]) -> list[dict[str, Any]]:
    """Every score as a mean over seeds; "setting" is what the runs differ in."""
    found = tables.means(tables.score_rows(scores)).rename(columns={"method": "setting"})
    return [
        {str(key): value for key, value in row.items()}
        for row in found[["data", "setting", "metric", "column", "variant", *_COLUMNS]].to_dict("records")
    ]


def _span(value: float, low: float, high: float) -> str:
    return "" if np.isnan(value) else f"{tables.number(value)} {tables.interval(low, high)}"


def _number(value: Any) -> str:
    return "" if np.isnan(value) else tables.number(float(value))
