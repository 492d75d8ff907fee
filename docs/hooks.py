"""Pages made from the package itself: methods and scores, from their docstrings."""

import dataclasses
import importlib

from mkdocs.structure.files import File, Files

from unbraid.methods import METHODS, method
from unbraid.metrics import METRICS, Metric


def on_files(files: Files, config) -> Files:
    text = "# Methods\n\n" + "\n\n".join(map(_section, METHODS))
    files.append(File.generated(config, "methods.md", content=text))
    text = "# Every score\n\n" + "\n\n".join(map(_score, METRICS.values()))
    files.append(File.generated(config, "every-score.md", content=text))
    return files


def _score(metric: Metric) -> str:
    """One metric: its docstring by section, and how it is asked for."""
    parts = dict(metric.explanation)
    name, needs = metric.name, sorted(metric.needs)
    roles = ", ".join(f'{need}="..."' for need in needs if need in ("domain", "label", "bias"))
    better = "Higher" if metric.higher_is_better else "Lower"
    lines = [
        f"## {name}",
        parts.pop(""),
        f"{better} is better." + (" Slow: only when asked for." if metric.slow else ""),
    ]
    lines += [f"**Needs** {', '.join(needs)}."] if needs else []
    for title in ("Args", "Raises", "Returns"):
        parts.pop(title, None)
    lines += [
        f"**{title}**\n\n```text\n{body}\n```" if title == "Formula" else f"**{title}.** {body}"
        for title, body in parts.items()
    ]
    call = f'unbraid.score(codes, labels, "{name}"' + (f", {roles})" if roles else ")")
    return "\n\n".join([*lines, f"**Source.** {metric.source}", f"```python\n{call}\n```"])


def _section(name: str) -> str:
    kind = method(name)
    doc = (importlib.import_module(kind.__module__).__doc__ or "").splitlines()
    body = "\n".join(f"**{line}**\n" if line and not line.startswith(" ") else line[4:] for line in doc[2:])
    rows = "\n".join(
        f"| `{f.name}` | `{f.default}` | {f.metadata['doc']} |" for f in dataclasses.fields(kind.config_class)
    )
    return f"## {name}\n\n{doc[0]}\n\n{body}\n\n| hyper-parameter | default | meaning |\n|---|---|---|\n{rows}"
