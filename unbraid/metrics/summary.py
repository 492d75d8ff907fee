"""Scores in plain words."""

from collections.abc import Iterable, Sequence

from unbraid.records import Score

# Share of the way from chance to perfect, below which a score is called so.
_LEAKS = ((0.1, "it hardly leaks"), (0.5, "it leaks in part"), (0.9, "it leaks"), (2.0, "it leaks almost entirely"))
_KEPT = ((0.1, "hardly kept"), (0.5, "kept in part"), (0.9, "mostly kept"), (2.0, "kept"))


def summary(scores: Iterable[Score], domain: str | None = None) -> list[str]:
    """A sentence on the leak of the domain, one on each content column, one on each gallery of the retrieval.

    Of several probes the one that reads most is reported, the one farthest above its own chance; controls and errors
    are left out. What is said depends on where its score lies between chance and 1; a score whose 95 % interval reaches
    down to chance counts as chance.

    Args:
        domain: The column whose leak is reported; None for any.
    """
    leaks: list[Score] = []
    columns: dict[str, list[Score]] = {}
    galleries: dict[str, list[Score]] = {}
    for score in scores:
        if "shuffled" in score.variant or "error" in score.variant:
            continue
        if score.metric == "leakage" and domain in (None, score.column):
            leaks.append(score)
        elif score.metric == "informativeness":
            columns.setdefault(score.column, []).append(score)
        elif score.metric == "retrieval" and score.value is not None:
            galleries.setdefault(score.variant, []).append(score)
    sentences = [_leak(leaks)] if leaks else []
    sentences += [_content(probes) for probes in columns.values()]
    return sentences + [_retrieval(variant, found) for variant, found in galleries.items()]


def _leak(scores: Sequence[Score]) -> str:
    best = _most(scores)
    if best.value is None:
        which = f" of the domain {best.column!r}" if best.column else ""
        return f"The leak{which} is not defined: {best.note}."
    verdict = "no leak found" if _at_chance(best) else _grade(best, _LEAKS)
    return f"The domain {best.column!r} can be read from the code with {_reading(best)}: {verdict}."


def _content(scores: Sequence[Score]) -> str:
    best = _most(scores)
    if best.value is None:
        return f"What the code keeps of {best.column!r} is not defined: {best.note}."
    verdict = "lost" if _at_chance(best) else _grade(best, _KEPT)
    return f"{best.column!r} can be read with {_reading(best)}: {verdict}."


def _retrieval(variant: str, scores: Sequence[Score]) -> str:
    top, _, gallery = variant.partition(", ")
    who = "The nearest neighbour" if top == "top-1" else f"A neighbour among the {top.replace('-', ' ')}"
    where = {"all": "in all rows", "other domains": "in the other domains", "same domain": "in the same domain"}[
        gallery
    ]
    agreements = [
        f"{_percent(score.value)} in {repr(score.column) if score.column else 'all of these at once'}"
        f" (chance {_percent(score.chance)})"
        for score in scores
    ]
    return f"{who} {where} agrees with the query for {', '.join(agreements)}."


def _most(scores: Sequence[Score]) -> Score:
    return max(scores, key=lambda score: float("-inf") if score.value is None else _progress(score))


def _at_chance(score: Score) -> bool:
    return score.chance is not None and (score.value if score.low is None else score.low) <= score.chance  # type: ignore


def _grade(score: Score, grades: Sequence[tuple[float, str]]) -> str:
    share = _progress(score)
    return next(word for bound, word in grades if share < bound)


def _progress(score: Score) -> float:
    """The share of the way from chance to 1."""
    value, chance = score.value or 0.0, score.chance or 0.0
    return (value - chance) / (1 - chance) if chance < 1 else 0.0


def _reading(score: Score) -> str:
    if "R2" in score.variant:
        return f"R2 {score.value:.2f} ({score.variant.partition(',')[0]} probe)"
    probe = score.variant.removesuffix(", balanced accuracy")
    accuracy = "accuracy" if probe == score.variant else "balanced accuracy"
    return f"{_percent(score.value)} {accuracy} ({probe} probe; chance {_percent(score.chance)})"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.0f} %"
