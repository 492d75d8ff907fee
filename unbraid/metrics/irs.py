"""IRS: interventional robustness. Does a dimension stay where it is while one factor is held and the others change?"""

import numpy as np
from jaxtyping import Float, Float32, Int64

from unbraid.errors import UserError
from unbraid.metrics import metric
from unbraid.metrics.held_factors import (
    BINS,
    NUM_SHUFFLES,
    Rows,
    Table,
    draw_table,
    moving,
    of_halves,
    score_of,
    undefined,
)
from unbraid.metrics.information import bin_codes
from unbraid.records import Score
from unbraid.tables import Codes


@metric(
    needs={"content"},
    higher_is_better=True,
    source="Suter et al. 2019, arXiv:1811.00007; settings of Locatello et al. 2019, arXiv:1811.12359",
)
def irs(codes: Codes, rng: np.random.Generator, *, quantile: float = 0.99) -> list[Score]:
    """Interventional Robustness Score: does each dimension stay where it is while all factors but one change?

    Test rows; published are 10,000 draws. Constant dimensions are left out, and values that only one row has. Interval:
    over halves of the test rows. disentanglement_lib puts every factor into 20 equal-width bins, which joins values
    where there are more than 20, whether or not they are neighbours; for such data that version is a second score.

    Args:
        quantile: Of the deviations of a value's rows; 1 is the maximum of the paper's definition.

    Formula:
        R_df = 1 - mean_v q_dv / m_d, with q_dv the 0.99 quantile of |z_d - mean_v(z_d)| over the rows where f = v and
        m_d = max |z_d - mean(z_d)| over all rows; the score is the mean over d of max_f R_df, weighted by m_d
    Range:
        At most 1, higher is better; below 0 only just. Chance, from shuffled codes, can lie far above 0.
    Misleads:
        One outlier makes m_d large and the dimension seem robust. Values of few rows seem robust too: read it beside
        its chance. It does not ask whether every factor has a dimension.
    Raises:
        UserError: If the quantile is not between 0 and 1.
    """
    if not 0 < quantile <= 1:
        raise UserError(f"irs: quantile must be above 0 and at most 1, not {quantile}")
    table = draw_table(codes, f"quantile {quantile:g}", "test")
    (rows,) = table.parts
    if not table.over:
        return [undefined(irs, table, "it needs a factor that can be held")]
    if not moving(rows.z).any():
        return [undefined(irs, table, "the code is the same for every test row")]
    scores = [_robust(table, quantile, rng)]
    if any(len(np.unique(values)) > BINS for values in rows.factors.T):
        binned = bin_codes(rows.factors.astype(np.float64), BINS).T
        published = table._replace(parts=(Rows(rows.z, binned),), variant=f"{table.variant}, factors in {BINS} bins")
        scores.append(_robust(published, quantile, rng))
    return scores


def robustness(
    z: Float32[np.ndarray, "n d"], factors: Int64[np.ndarray, "n g"], quantile: float
) -> tuple[Float[np.ndarray, "d g"], Float[np.ndarray, " d"]]:
    """R_df and the weights m_d of ``irs``, for dimensions that are not constant."""
    columns = np.ascontiguousarray(z.T)
    farthest = np.abs(columns - columns.mean(axis=1, keepdims=True)).max(axis=1)
    deviations = np.zeros((len(columns), factors.shape[1]))
    for place, values in enumerate(factors.T):
        order = np.argsort(values, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(values[order])) + 1)
        groups = [rows for rows in groups if len(rows) > 1]
        for rows in groups:
            group = columns[:, rows]
            away = np.abs(group - group.mean(axis=1, keepdims=True))
            deviations[:, place] += np.quantile(away, quantile, axis=1, overwrite_input=True) / len(groups)
    return 1 - deviations / farthest[:, None], farthest


def _robust(table: Table, quantile: float, rng: np.random.Generator) -> Score:
    def average(rows: Rows) -> float:
        matrix, weights = robustness(rows.z[:, moving(rows.z)], rows.factors, quantile)
        return float(np.average(matrix.max(axis=1), weights=weights))

    (rows,) = table.parts
    chance = [average(rows.shuffled(rng)) for _ in range(NUM_SHUFFLES)]
    return score_of(irs, table, average(rows), of_halves(average, rows, rng), chance)
