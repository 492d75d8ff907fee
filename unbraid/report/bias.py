"""What a method's biased network thought the bias was, in words, numbers and pictures; from ``bias.npz``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from unbraid.metrics.association import Association, from_arrays, name_of
from unbraid.report import plots
from unbraid.report.tables import number
from unbraid.tables import Codes, DataSpec

_WEAK = 0.1  # normalised mutual information


@dataclass(frozen=True)
class Seen:
    """A training image as the biased network sees it."""

    uri: str
    value: str  # of the column it is told by: the named bias or, where there is none, the one that it goes with most
    answer: str
    right: bool


@dataclass(frozen=True)
class Side:
    """The easiest and the hardest images of a label."""

    label: str
    easy: list[Seen]
    hard: list[Seen]


@dataclass(frozen=True)
class SwapCell:
    """What the two last layers answer, and whether each names the giver of the features that it is to read."""

    answer: str
    biased_answer: str
    right: bool
    biased_right: bool


@dataclass(frozen=True)
class SwapRow:
    """One giver of the label's features: its image and label, and a cell for each giver of the biased features."""

    uri: str
    label: str
    cells: list[SwapCell]


@dataclass(frozen=True, kw_only=True)
class BiasView:
    """What the page shows of one run's biased network."""

    sentences: list[str]
    told_by: str  # the column of the values under the images
    associations: list[tuple[str, ...]]
    weights: Markup | None
    gallery: list[Side]
    swap_givers: list[tuple[str, str]]  # of the biased features: image and label
    swaps: list[SwapRow]


def bias_view(arrays: Mapping[str, np.ndarray], codes: Codes, name: str, *, images: bool) -> BiasView:
    """
    Args:
        codes: Of the same run, for its columns and their names.
        name: Unique on the page.
        images: Draw them, too.
    """
    found = from_arrays(arrays)
    told_by = codes.spec.bias or name_of(found) or ""
    return BiasView(
        sentences=sentences(arrays, codes.spec),
        told_by=told_by,
        associations=[line(column, one) for column, one in found.items()],
        weights=plots.weights_figure(arrays["weight"], arrays.get("aligned"), name),
        gallery=list(_gallery(arrays, codes, told_by)) if images else [],
        swap_givers=_givers(arrays, codes.spec, "column") if images else [],
        swaps=_swaps(arrays, codes.spec) if images else [],
    )


def line(column: str, one: Association) -> tuple[str, ...]:
    """A row of the table of associations: column, nats, normalised, p, rows."""
    return column, number(one.information), number(one.normalised), number(one.p_value), str(one.num)


def sentences(arrays: Mapping[str, np.ndarray], spec: DataSpec) -> list[str]:
    """The finding in words."""
    found = from_arrays(arrays)
    column = name_of(found)
    if column is None:
        said = ["No column of the data goes with the biased network's confidence: what it follows has no name here."]
    else:
        one, others = found[column], " more than any other column" if len(found) > 1 else ""
        verb = "follows" if one.normalised >= _WEAK else "weakly follows"
        named = "" if spec.bias is None else ", the named bias" if column == spec.bias else f", not {spec.bias}"
        said = [
            f"The biased network {verb} {column}{named}: within a label it goes with the network's confidence{others} "
            f"(normalised mutual information {number(one.normalised)}, p = {number(one.p_value)})."
        ]
    return said + _by_alignment(arrays)


def _by_alignment(arrays: Mapping[str, np.ndarray]) -> list[str]:
    aligned = arrays.get("aligned")
    if aligned is None or aligned.all() or not aligned.any():
        return []
    from sklearn.metrics import roc_auc_score

    right = arrays["biased_answer"] == arrays["label"]
    known = ~np.isnan(arrays["weight"])
    said = (
        f"Of {len(aligned)} training images it answers {right[aligned].mean():.1%} of the aligned ones rightly and "
        f"{right[~aligned].mean():.1%} of the {np.sum(~aligned)} conflicting ones"
    )
    if len(np.unique(aligned[known])) < 2:
        return [f"{said}."]
    area = roc_auc_score(~aligned[known], arrays["weight"][known])
    return [f"{said}; a conflicting one has a greater W than an aligned one with probability {area:.3f}."]


def value_name(spec: DataSpec, column: str | None, value: int | float | np.number) -> str:
    """What a value is called; a real number with three digits, a missing one not at all."""
    if column is None or np.isnan(value) or (column in spec.sizes and value < 0):
        return ""
    return spec.names_of(column)[int(value)] if column in spec.sizes else f"{value:.3g}"


def _gallery(arrays: Mapping[str, np.ndarray], codes: Codes, told_by: str) -> Iterator[Side]:
    spec, places, hard = codes.spec, arrays["gallery_place"], arrays["gallery_hard"]
    label, answer = arrays["label"], arrays["biased_answer"]
    values = codes.columns[told_by][arrays["row"]] if told_by else np.full(len(label), np.nan)

    def seen(image: int) -> Seen:
        place = places[image]
        return Seen(
            uri=plots.thumb_uri(arrays["gallery_images"][image]),
            value=value_name(spec, told_by, values[place]),
            answer=value_name(spec, spec.label, answer[place]),
            right=bool(answer[place] == label[place]),
        )

    for value in dict.fromkeys(label[places].tolist()):
        of_label = label[places] == value
        easy, tough = ([seen(image) for image in np.flatnonzero(of_label & side).tolist()] for side in (~hard, hard))
        yield Side(value_name(spec, spec.label, value), easy, tough)


def _givers(arrays: Mapping[str, np.ndarray], spec: DataSpec, side: str) -> list[tuple[str, str]]:
    images: Sequence[np.ndarray] = arrays.get(f"swap_{side}_images", ())  # type: ignore[assignment]
    labels = arrays.get(f"swap_{side}_label", ())
    return [(plots.thumb_uri(image), value_name(spec, spec.label, label)) for image, label in zip(images, labels)]


def _swaps(arrays: Mapping[str, np.ndarray], spec: DataSpec) -> list[SwapRow]:
    found = []
    for row, (uri, label) in enumerate(_givers(arrays, spec, "row")):
        pairs = zip(arrays["swap_answer"][row], arrays["swap_biased_answer"][row], arrays["swap_column_label"])
        cells = [
            SwapCell(
                answer=value_name(spec, spec.label, answer),
                biased_answer=value_name(spec, spec.label, biased),
                right=bool(answer == arrays["swap_row_label"][row]),
                biased_right=bool(biased == giver),
            )
            for answer, biased, giver in pairs
        ]
        found.append(SwapRow(uri, label, cells))
    return found
