"""The tables of DCoDR's supplement: what probes read of each method's code, and what retrieval by it finds."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unbraid.evaluation import evaluate
from unbraid.hparams import hp
from unbraid.metrics import score
from unbraid.records import Record, Score
from unbraid.report import tables
from unbraid.studies import comparison, published
from unbraid.studies.outcome import Outcome
from unbraid.studies.plan import Job, Plan, Study, digest, records, remember, train_all
from unbraid.studies.published import PublishedTable, published_set
from unbraid.tables import Codes, DataSpec

PROBE = "six-layer"  # the published protocol
_SEVERAL = "Ours: mean and standard error over {num} seeds."
_ONE = "Ours: one seed, with the 95 % interval over test images."
_PUBLISHED = "The published numbers are of one seed, as printed in {tables} of the supplement."
_NONE_PUBLISHED = "For these data and this domain the paper's supplement has no numbers."
_BY_RANK = """
As published, the nearest row is dropped as the query itself. Where codes of several images coincide, it may be another,
and the query then finds itself: a number above that of "Retrieval: top-1, all" below says so."""


@dataclass(frozen=True, kw_only=True)
class DCoDRTables(Study):
    """Methods by seeds on one data set, by the published protocols, beside the published numbers.

    Source: Kahana & Hoshen 2022, arXiv:2203.11284, supplement, Tables 3 to 7.
    """

    methods: list[str] | None = hp(None, doc="methods to train; default: the six of the paper")

    seeds = (0, 1, 2)

    def run(self, plan: Plan) -> Outcome:
        methods = list(dict.fromkeys(self.methods or published.METHODS))
        spec = plan.check(methods).spec
        jobs = [plan.job(name, seed) for name in methods for seed in plan.seeds]
        train_all(jobs)
        beside = [_probes(plan, spec), _retrieval(plan)]
        read = _beside([one for job in jobs for one in _probed(job)], beside[0], f"What the {PROBE} probe reads")
        found = _beside([one for job in jobs for one in _retrieved(job, plan)], beside[1], "What retrieval finds")
        printed = " and ".join(table.title for table in beside if table)
        parts = [f"# {plan.data}: DCoDR's tables\n"]
        parts.append(_SEVERAL.format(num=len(plan.seeds)) if len(plan.seeds) > 1 else _ONE)
        parts.append(_PUBLISHED.format(tables=printed) if printed else _NONE_PUBLISHED)
        for rows, table in zip((read, found), beside, strict=True):
            parts += [f"\n## {rows[0]['table']}\n", _text(rows, methods, table), *_notes(rows)]
        parts.append(_BY_RANK)
        scores = records(jobs)
        parts += [*_missed(scores), "", comparison.every_score(scores)]
        return Outcome(text="\n".join(parts), rows=[*read, *found])


def _probes(plan: Plan, spec: DataSpec) -> PublishedTable | None:
    """The published table, if what it removes is what is removed here."""
    table = published.PROBES.get(published_set(plan.data))
    return table if table and table.columns[0] == spec.domain else None


def _retrieval(plan: Plan) -> PublishedTable | None:
    return published.RETRIEVAL.get(published_set(plan.data))


def _probed(job: Job) -> list[Record]:
    """The published probe's scores of the domain and of each factor; computed where the run was scored without."""
    if not any(record.variant == PROBE for record in job.run.records()):
        evaluate(job.run, ["six-layer-probe"])
    kept = [record for record in records([job]) if record.variant == PROBE]
    return sorted(kept, key=lambda record: record.metric != "leakage")


def _retrieved(job: Job, plan: Plan) -> list[Record]:
    """Top-1 retrieval by the published protocol, of the published factors where the data set has published numbers."""
    table, margins = _retrieval(plan), published.MARGINS.get(published_set(plan.data), {})
    codes = Codes.load(job.run.codes)
    asked = table.columns[:-1] if table else codes.spec.content
    factors = tuple(name for name in asked if name in codes.spec.content)
    margins = {name: margin for name, margin in margins.items() if name in factors}
    values = remember(
        job.run.path / "published.jsonl",
        f"retrieval of {', '.join(factors)}; margins {margins}; codes {digest(codes.z)}",
        lambda: _retrieve(codes, factors, margins, job.config.settings.seed),
    )
    place = {"method": job.label, "data": plan.data, "seed": job.config.settings.seed, "epoch": 0, "version": ""}
    return [Record.of(Score(**value), run=job.run.name, **place) for value in values]


def _retrieve(codes: Codes, factors: Sequence[str], margins: Mapping[str, int], seed: int) -> list[dict[str, Any]]:
    domain = () if codes.spec.domain is None else (codes.spec.domain,)
    spec = dataclasses.replace(codes.spec, factors=(*domain, *factors), targets=())
    options = {"retrieval": {"galleries": ["all"], "margins": margins, "as_published": True}}
    found = score(dataclasses.replace(codes, spec=spec), ["retrieval"], seed=seed, options=options)
    return [dataclasses.asdict(one) for one in found]


def _beside(scores: Sequence[Record], table: PublishedTable | None, title: str) -> list[dict[str, Any]]:
    """One row per method and column: our mean over seeds, chance, and the published number where there is one."""
    rows = []
    for row in tables.means(tables.score_rows(scores)).to_dict("records"):
        column = row["column"] or "all"
        printed = ""
        if table and column in table.columns:
            printed = table.rows.get(row["method"], [""] * len(table.columns))[table.columns.index(column)]
        kept = ("data", "method", "variant", "mean", "error", "low", "high", "chance", "num_seeds")
        values = {key: row[key] for key in (*kept, "higher_is_better", "note")}
        source = table.title if table and printed else ""
        rows.append({"table": title, "column": column, **values, "published": printed, "source": source})
    return rows


def _text(rows: Sequence[Mapping[str, Any]], methods: Sequence[str], table: PublishedTable | None) -> str:
    columns = {row["column"]: row for row in rows}  # any row of each, for its direction and its chance
    cells = {(row["method"], row["column"]): row for row in rows}
    printed = set(table.columns) if table else set()
    headers, chance = ["method"], ["chance"]
    for name, row in columns.items():
        headers.append(f"{name} ({'higher' if row['higher_is_better'] else 'lower'})")
        chance.append("" if row["chance"] != row["chance"] else tables.number(row["chance"]))
        if table and name in printed:
            headers.append(f"published, {table.title}")
            chance.append("")
    lines = []
    for method in methods:
        line = [method]
        for name in columns:
            found = cells.get((method, name))
            line.append(str(tables.cell(found)) if found else "")
            line += [found["published"] if found else ""] if name in printed else []
        lines.append(line)
    if table and published.OPTIMAL in table.rows:
        best = dict(zip(table.columns, table.rows[published.OPTIMAL], strict=True))
        lines.append(
            [published.OPTIMAL, *(text for name in columns for text in ["", *([best[name]] if name in best else [])])]
        )
    return tables.markdown_table(headers, [*lines, chance])


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each once, with the columns that it is about."""
    about: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["note"]:
            about.setdefault(row["note"], {})[row["column"]] = None
    return [f"{', '.join(columns)}: {note}." for note, columns in about.items()]


def _missed(scores: Sequence[Record]) -> list[str]:
    """Where the published probe reads less of the domain than another, beyond the intervals: its number misleads."""
    means = tables.means(tables.score_rows(scores))
    leakage = means[(means["metric"] == "leakage") & ~means["variant"].str.endswith(tables.CONTROL)]
    lines = []
    for method, rows in leakage.dropna(subset="mean").groupby("method", sort=False):
        ours, best = rows[rows["variant"] == PROBE], rows.sort_values("mean").iloc[-1]
        if len(ours) and ours["high"].iloc[0] < best["low"]:
            lines.append(
                f"The published probe misses the domain in {method}: the {best['variant']} probe reads "
                f"{best['column']} at {tables.number(best['mean'])}."
            )
    return lines
