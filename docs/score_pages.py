"""One page of every score, from the docstrings."""

import re

from unbraid.metrics import METRICS, Metric


def page() -> str:
    return "# Every score\n\n" + "\n\n".join(map(_section, METRICS.values())) + "\n"


def explained(metric: Metric, title: str) -> str:
    """A section of the docstring; where it says "As `dci`", what stands there."""
    body = metric.explanation.get(title, "")
    found = re.match(r"As ((?:`[\w-]+`(?:, )?)+)[.,]?\s*", body)
    if found is None:
        return body
    texts = [explained(METRICS[name], title) for name in re.findall(r"`([\w-]+)`", found[1])]
    own = body[found.end() :]
    return "\n".join([*filter(None, texts), *([f"here: {own}"] if own else [])])


def _section(metric: Metric) -> str:
    """One metric: its docstring by section, and how it is asked for."""
    name, needs = metric.name, sorted(metric.needs)
    better = "Higher" if metric.higher_is_better else "Lower"
    lines = [
        f"## {name}",
        explained(metric, ""),
        f"{better} is better." + (" Slow: only when asked for." if metric.slow else ""),
    ]
    lines += [f"**Needs** {', '.join(needs)}."] if needs else []
    for title in metric.explanation:
        if title in ("", "Args", "Raises", "Returns"):
            continue
        body = explained(metric, title)
        lines.append(f"**{title}**\n\n```text\n{body}\n```" if title == "Formula" else f"**{title}.** {body}")
    roles = ", ".join(f'{need}="..."' for need in needs if need in ("domain", "label", "bias"))
    call = f'unbraid.score(codes, labels, "{name}"' + (f", {roles})" if roles else ")")
    return "\n\n".join([*lines, f"**Source.** {metric.source}", f"```python\n{call}\n```"])
