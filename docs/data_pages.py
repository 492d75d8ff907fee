"""What is known of every data set, from the docstrings of its file and its function."""

import importlib
import inspect
import re
import typing

from prose import escaped

from unbraid.data import DATASETS

FILES = {"raw": "where the files are, in place of `UNBRAID_DATA`"}


def sections() -> str:
    """A section for each file of data sets; two sets of one file stand together."""
    files: dict[str, list[str]] = {}
    for name, row in DATASETS.items():
        files.setdefault(row.partition(":")[0], []).append(name)
    return "\n\n".join(_section(file, names) for file, names in files.items()) + "\n"


def _section(file: str, names: list[str]) -> str:
    module = importlib.import_module(f"unbraid.data.{file}")
    heading = ", ".join(f"`{name}`" for name in names)
    parts = [f"## {heading}", _prose(inspect.getdoc(module) or "")]
    parts += [f"**Get it from** {module.PAGE}"] if hasattr(module, "PAGE") else []
    parts += [_parameters(name, getattr(module, DATASETS[name].partition(":")[2])) for name in names]
    return "\n\n".join(parts)


def _prose(doc: str) -> str:
    """The docstring as Markdown: headings bold, a literal block as code."""
    doc = re.sub(r"^(\w+)\n((?:    .+\n?)+)", lambda found: _bold(found[1], found[2]), doc, flags=re.MULTILINE)
    return escaped(doc.replace("::\n\n", "", 1).replace("``", "`"))


def _bold(title: str, body: str) -> str:
    return f"**{title}.** {inspect.cleandoc('    ' + body.strip())}\n"


def _parameters(name: str, function: typing.Callable[..., object]) -> str:
    summary, _, doc = (inspect.getdoc(function) or "").partition("Args:\n")
    doc = doc.partition("\n\n")[0]
    meanings = dict(re.findall(r"^ {4}(\w+): ((?:.+\n?(?: {8}.+\n?)*))", doc, flags=re.MULTILINE))
    meanings = {option: escaped(" ".join(text.split())) for option, text in (FILES | meanings).items()}
    rows = [
        f"| `{name}:{one.name}=` | `{one.default}` | {meanings.get(one.name, '')} |"
        for one in inspect.signature(function).parameters.values()
    ]
    said = _prose(summary.partition("\n\n")[0])
    return "\n".join([said, "", "| parameter | default | meaning |", "|---|---|---|", *rows])
