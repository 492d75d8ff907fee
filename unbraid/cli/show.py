"""unbraid show: what stands behind a name."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say
from unbraid.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("name", type=str, help="a method or a metric: a name of 'unbraid list'")


def run(args: "Namespace") -> None:
    from unbraid import methods, metrics

    if args.name in methods.METHODS:
        return say(_method(args.name))
    if args.name in metrics.METRICS:
        return say(_metric(args.name))
    if args.name == "udr":
        return say(_udr())
    known = [*methods.METHODS, *metrics.METRICS, "udr"]
    raise UserError(f"no method and no metric is called {args.name!r}.{did_you_mean(args.name, known)}")


def _method(name: str) -> str:
    """Source, objective and differences, then the hyper-parameters and the presets."""
    import importlib

    from unbraid.methods import method

    kind = method(name)
    rows = [(f.name, str(f.default), f.metadata["doc"]) for f in dataclasses.fields(kind.config_class)]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [importlib.import_module(kind.__module__).__doc__ or ""]
    lines += [f"  {field:<{widths[0]}}  {default:<{widths[1]}}  {doc}" for field, default, doc in rows]
    for title, preset in kind.presets.items():
        lines.append(f"\n  --preset {title}: " + ", ".join(f"{key}={value}" for key, value in preset.items()))
    return "\n".join(lines)


def _udr() -> str:
    """The one score of several models, which has a command of its own."""
    import inspect

    from unbraid.metrics import udr

    definition = (inspect.getdoc(udr.udr) or "").partition("\nArgs:")[0]
    return f"udr\n\n{inspect.getdoc(udr)}\n\n{definition}\nIt compares models: unbraid udr a.npy b.npy c.npy"


def _metric(name: str) -> str:
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
    return "\n\n".join([*parts, f"{better}; {needs}{more}", f"Source: {metric.source}"])
