"""The card: every score of one set of codes, as a table, sentences and files. Without torch, unless a network is
trained as a probe."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unbraid import metrics
from unbraid.atomic import atomic_file
from unbraid.errors import UserError
from unbraid.metrics import everyday
from unbraid.metrics import score as score_codes
from unbraid.metrics.summary import summary
from unbraid.readers import Name, missing_values, names, read_codes, read_input
from unbraid.records import RunDir, Score, read_json
from unbraid.tables import SPLITS, Codes, DataSpec

if TYPE_CHECKING:
    import pandas
    import rich.console


@dataclass(frozen=True, kw_only=True)
class Card:
    """The scores of one audit."""

    spec: DataSpec
    scores: tuple[Score, ...]
    missing: Mapping[str, int] = dataclasses.field(default_factory=dict)  # column -> rows without a value
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)  # what the scores were computed on, in words

    @property
    def table(self) -> "pandas.DataFrame":
        """One row per score; numbers as numbers."""
        import pandas

        from unbraid.report.card import without_repeats

        return pandas.DataFrame(
            {
                "name": score.metric,
                "column": score.column or " + ".join(score.over),
                "variant": score.variant,
                "value": score.value,
                "low": score.low,
                "high": score.high,
                "chance": score.chance,
                "direction": "higher" if score.higher_is_better else "lower",
                "split": score.split,
                "rows": score.num,
                "note": score.note,
                "source": score.source,
            }
            for score in without_repeats(self.scores)
        )

    def summary(self) -> list[str]:
        """The card in sentences."""
        missing = [
            f"{name!r} has {num} missing value{'s' if num > 1 else ''}; such rows are left out of its scores."
            for name, num in self.missing.items()
        ]
        return summary(self.scores, self.spec.domain) + missing

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for JSON."""
        scores = [dataclasses.asdict(score) for score in self.scores]
        parts = {"spec": self.spec.to_dict(), "summary": self.summary(), "scores": scores}
        return parts | {"missing": dict(self.missing), "data": dict(self.data)}

    def save(self, path: Path | str) -> None:
        """Write the card: .html a page, .md and .tex a table, .csv every field of every score, .json all of it.

        Raises:
            UserError: If the name ends otherwise.
        """
        path = Path(path)
        check_format(path)
        text = _FORMATS[path.suffix.lower()](self)
        with atomic_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def render(self) -> "rich.console.Group":
        """The card for the terminal."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from unbraid.report.card import HEADINGS, NUMBERS, grouped

        table = Table(title=Text(self.title))
        for heading in HEADINGS:
            table.add_column(heading, justify="right" if heading in NUMBERS else "left")
        for rows in grouped(self.scores).values():
            table.add_section()
            for row in rows:
                table.add_row(*map(Text, row.cells))
        data = Table.grid(padding=(0, 2))
        for heading, text in self.data.items():
            data.add_row(heading, Text(text))
        return Group(data, table)

    @property
    def title(self) -> str:
        return f"{self.spec.name}: domain {self.spec.domain!r}" if self.spec.domain else self.spec.name

    def __repr__(self) -> str:
        heading = f"Card of {self.title}: {len(self.scores)} scores; .table, .summary(), .save('card.html')"
        return "\n".join([heading, *self.summary()])

    def _repr_html_(self) -> str:
        from unbraid.report.card import html_table

        return html_table(self.scores)


def _page(card: Card) -> str:
    from unbraid.report.card import page

    known = metrics.METRICS
    explanations = {name: known[name].explanation for name in known}
    return page(card.title, card.data, card.summary(), card.scores, explanations)


def _markdown(card: Card) -> str:
    from unbraid.report.card import markdown

    return markdown(card.scores, card.data)


def _latex(card: Card) -> str:
    from unbraid.report.card import latex

    return latex(card.scores)


def _json(card: Card) -> str:
    import json

    return json.dumps(card.to_dict(), indent=2) + "\n"


_FORMATS: Mapping[str, Callable[[Card], str]] = {
    ".html": _page,
    ".md": _markdown,
    ".tex": _latex,
    ".csv": lambda card: card.table.to_csv(index=False),
    ".json": _json,
}


def check_format(path: Path) -> None:
    """Raises: UserError if a card cannot be saved there, or not under that name."""
    if path.suffix.lower() not in _FORMATS:
        raise UserError(f"a card is saved as {', '.join(_FORMATS)}, not as {path.name!r}")
    check_place(path)


def check_place(path: Path) -> None:
    """Raises: UserError if no file can be written there; found out before the work, not after it."""
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    folder = next(one for one in path.absolute().parents if one.exists())  # those below it are made
    if not folder.is_dir():
        raise UserError(f"cannot write {path}: {folder} is a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: no permission to write in {folder}")


def of_run(run: RunDir) -> Card:
    """The card of a trained run, from the scores in its directory. Raises: UserError if it has none yet."""
    records = run.records()
    if not records:
        raise UserError(f"{run.path} has no scores yet; run the command that began it again, it goes on")
    spec = read_json(run.spec, DataSpec.from_dict)
    if not run.codes.is_file():
        return Card(spec=spec, scores=tuple(records), data=_columns(spec))
    codes = Codes.load(run.codes)
    missing = missing_values(codes)
    data = _data(codes, "comes with the data", records[-1].seed, missing)
    return Card(spec=spec, scores=tuple(records), missing=missing, data=data)


def _data(codes: Codes, split: str, seed: int, missing: Mapping[str, int]) -> dict[str, str]:
    """Heading -> what the scores of these codes were computed on."""
    parts = [f"{num} {name}" for name, num in zip(SPLITS, np.bincount(codes.split, minlength=3), strict=True) if num]
    return {
        "codes": f"{len(codes)} rows x {codes.z.shape[1]} dimensions",
        "split": f"{', '.join(parts)}; it {split}",
        "seed": f"{seed}, of the probes and the intervals",
        **_columns(codes.spec),
        "missing values": ", ".join(f"{name} {num}" for name, num in missing.items()) or "none",
    }


def _columns(spec: DataSpec) -> dict[str, str]:
    """Role -> its columns, and how each was read."""

    def described(name: str) -> str:
        return f"{name} ({spec.sizes[name]} values{', circular' if name in spec.circular else ''})"

    roles = {
        "domain": [described(spec.domain)] if spec.domain else ["none"],
        "factors (categories)": list(map(described, spec.content)),
        "targets (real numbers)": list(spec.targets),
        "label": [described(spec.label)] if spec.label else [],
        "bias": [described(spec.bias)] if spec.bias else [],
    }
    return {role: ", ".join(found) for role, found in roles.items() if found}


def audit(
    codes: Any,
    labels: Any = None,
    *,
    domain: Name | None = None,
    factors: Iterable[Name] | None = None,
    circular: Iterable[Name] = (),
    label: Name | None = None,
    bias: Name | None = None,
    metrics: Iterable[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> Card:
    """What codes tell about the domain and about everything else.

    The first arguments are those of `read_input`: arrays, data frames or files; columns of real numbers are targets,
    unless all are whole, and all other columns are categories. Without a domain there is no leakage, and every factor
    is content.

    Args:
        metrics: Names of ``unbraid list metrics``, or one; default: all that the labels allow, less the slow ones.
        options: Metric -> its keyword arguments: ``{"retrieval": {"k": 10, "margins": {"azimuth": 2}}}``.

    Raises:
        UserError: If the input cannot be read or does not fit together; says where.
    """
    table, split = read_input(
        codes, labels, domain=domain, factors=factors, circular=circular, label=label, bias=bias, seed=seed
    )
    _check(table)
    chosen = everyday(table.spec) if metrics is None else names(metrics)
    scores, missing = score_codes(table, chosen, seed, options), missing_values(table)
    return Card(spec=table.spec, scores=tuple(scores), missing=missing, data=_data(table, split, seed, missing))


def score(
    codes: Any,
    labels: Any,
    names: str | Sequence[str],
    *,
    seed: int = 0,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    **roles: Any,
) -> list[Score]:
    """Single scores, by name: ``score(codes, labels, ["mig", "dci"], domain="scanner")``.

    The other arguments are those of `audit`; ``labels`` is None for `Codes`, which bring their own.
    """
    table = read_codes(codes, labels, **roles, seed=seed)
    return score_codes(table, [names] if isinstance(names, str) else names, seed, options)


def _check(codes: Codes) -> None:
    """Raises: UserError if there is nothing to learn from these codes."""
    metrics.check_finite(codes.z)
    if np.ptp(codes.z, axis=0).max() == 0:
        raise UserError("all codes are the same; the encoder has collapsed, or the wrong array was given")
    domain = codes.spec.domain
    if domain and len(np.unique(codes.known(domain).columns[domain])) < 2:
        raise UserError(f"domain {domain!r} has one value only; there is nothing to be invariant to")
