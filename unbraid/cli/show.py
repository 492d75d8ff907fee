"""unbraid show: what stands behind a name."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unbraid.cli.parsing import say
from unbraid.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("name", type=str, help="a method or a metric: a name of 'unbraid list'")


def run(args: "Namespace") -> object:
    from unbraid import methods, metrics

    if args.name in methods.METHODS:
        return _method(args.name)
    if args.name in metrics.METRICS:
        return _metric(args.name)
    if args.name == "udr":
        return _udr()
    known = [*methods.METHODS, *metrics.METRICS, "udr"]
    raise UserError(f"no method and no metric is called {args.name!r}.{did_you_mean(args.name, known)}")


def _method(name: str) -> dict[str, Any]:
    """Source, objective and differences, then the hyper-parameters and the presets."""
    import importlib

    from unbraid.methods import method

    kind = method(name)
    fields = dataclasses.fields(kind.config_class)
    rows = [(f.name, str(f.default), f.metadata["doc"]) for f in fields]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    text = importlib.import_module(kind.__module__).__doc__ or ""
    lines = [text, *(f"  {field:<{widths[0]}}  {default:<{widths[1]}}  {doc}" for field, default, doc in rows)]
    for title, preset in kind.presets.items():
        lines.append(f"\n  --preset {title}: " + ", ".join(f"{key}={value}" for key, value in preset.items()))
    say("\n".join(lines))
    options = {f.name: {"default": f.default, "doc": f.metadata["doc"]} for f in fields}
    return {"name": name, "text": text, "options": options, "presets": kind.presets}


def _udr() -> dict[str, Any]:
    """The one score of several models, which has a command of its own."""
    import inspect

    from unbraid.metrics import udr

    definition = (inspect.getdoc(udr.udr) or "").partition("\nArgs:")[0]
    text = f"{inspect.getdoc(udr)}\n\n{definition}\nIt compares models: unbraid udr a.npy b.npy c.npy"
    say(f"udr\n\n{text}")
    return {"name": "udr", "text": text}


def _metric(name: str) -> dict[str, Any]:
    """What it means, its formula, its range and direction, when it misleads, what it needs and where it is from."""
    from unbraid.metrics import METRICS

    metric = METRICS[name]
    parts = [name]
    for heading, text in metric.explanation.items():
        body = text.replace("\n", "\n    ")
        parts.append(f"{heading}:\n    {body}" if heading else text)
    better = "higher is better" if metric.higher_is_better else "lower is better"
    needs = f"the data must name: {', '.join(sorted(metric.needs))}" if metric.needs else "needs no label"
    more = "; left out of an audit unless asked for by name" if metric.slow else ""
    say("\n\n".join([*parts, f"{better}; {needs}{more}", f"Source: {metric.source}"]))
    facts = {key: getattr(metric, key) for key in ("needs", "higher_is_better", "slow", "source")}
    return {"name": name, "text": metric.explanation, **facts}
