"""A page for each method: from its docstring, its configuration, and the tables that mention it."""

import dataclasses
import importlib
import inspect
from typing import Any

import measured
from prose import escaped, lists

from unbraid.methods import METHODS, method
from unbraid.types import Decodes, KnowsBias, Method, Posterior, Predicts

ROLES = {"domain": "camera", "label": "animal", "bias": "background"}  # as columns of photos.csv
ABLE = {
    Predicts: "predicts the label",
    Decodes: "draws images from codes",
    Posterior: "gives each code a variance",
    KnowsBias: "says which images conflict with the bias",
}


def overview() -> str:
    """A table of all methods."""
    rows = "\n".join(f"| [{name}]({name}.md) | {_needs(method(name))} | {_first_line(name)} |" for name in METHODS)
    return (
        "# Methods\n\n[Choosing a method](../choosing.md) goes from what you have to one of these. "
        "`unbraid show NAME` prints a page's text.\n\n"
        f"| method | needs | what the code carries |\n|---|---|---|\n{rows}\n"
    )


def page(name: str) -> str:
    kind = method(name)
    parts = [f"# {name}", _first_line(name), _facts(kind), _use(name), f"## Train it\n\n```\n{_commands(name)}\n```"]
    parts += [f"## {title}\n\n{body}" for title, body in _sections(kind).items()]
    parts += ["## Hyper-parameters", _hyper_parameters(kind), "## Presets", _presets(kind)]
    if numbers := measured.measured(name, measured.results()):
        parts += ["## Measured here", numbers]
    return "\n\n".join(filter(None, parts)) + "\n"


def _first_line(name: str) -> str:
    """What the code carries: of the class where it says more than the file."""
    kind = method(name)
    own = vars(kind).get("__doc__") or ""
    first = (inspect.getmodule(kind).__doc__ or "").splitlines()[0]
    text = first.partition(": ")[2]
    text = text[:1].upper() + text[1:]
    return escaped(f"{text} {own.splitlines()[0]}" if own.strip() else text)


def _needs(kind: type[Method]) -> str:
    needs = ", ".join(sorted(kind.needs.labels)) or "images alone"
    return needs.replace("factors", "some labelled factors")


def _facts(kind: type[Method]) -> str:
    able = [text for ability, text in ABLE.items() if all(hasattr(kind, name) for name in _members(ability))]
    facts = [f"- needs: {_needs(kind)}", f"- views: `{kind.views}`"]
    return "\n".join([*facts, *([f"- also {', '.join(able)}"] if able else [])])


def _members(protocol: Any) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def _use(name: str) -> str:
    """Its row of the page on choosing."""
    for table in measured.tables(measured.DOCS / "choosing.md"):
        for row in table.rows_of(name):
            if "use it when" in table.header:
                return "**Use it when** " + row[table.header.index("use it when")]
    return ""


def _commands(name: str) -> str:
    kind = method(name)
    labels = kind.needs.labels
    roles = "".join(f" --{role} {column}" for role, column in ROLES.items() if role in labels)
    table = " --labels photos.csv" if labels else ""
    embedded = "digits-biased" if "label" in labels else "digits"
    small = " --preset cpu" if "cpu" in kind.presets else ""
    return f"unbraid train {name} --data {embedded}\nunbraid train {name} --data photos/{table}{roles}{small}"


def _sections(kind: type[Method]) -> dict[str, str]:
    """The docstring of its file by heading."""
    sections: dict[str, list[str]] = {}
    for line in (importlib.import_module(kind.__module__).__doc__ or "").splitlines()[2:]:
        if line and not line.startswith(" "):
            sections[line] = []
        elif sections:
            sections[list(sections)[-1]].append(line[4:])
    text = {title: "\n".join(lines).strip() for title, lines in sections.items()}
    logged = text.pop("Logged", "")
    text = {title: lists(escaped(body)) for title, body in text.items()}
    return text | ({"Logged": f"```text\n{logged}\n```"} if logged else {})


def _hyper_parameters(kind: type[Method]) -> str:
    rows = [
        f"| `{f.name}` | `{f.default}` | {_range(f.metadata['search'])} | {_cell(f.metadata['doc'])} |"
        for f in dataclasses.fields(kind.config_class)
    ]
    return "\n".join(["| name | default | searched | meaning |", "|---|---|---|---|", *rows])


def _range(search: Any) -> str:
    if search is None:
        return ""
    if hasattr(search, "options"):
        return ", ".join(map(str, search.options))
    return f"{search.low:g} to {search.high:g}" + (", by its logarithm" if search.log else "")


def _presets(kind: type[Method]) -> str:
    rows = [
        f"| `{name}` | " + ", ".join(f"`{key}={value}`" for key, value in values.items()) + " |"
        for name, values in kind.presets.items()
    ]
    said = "A data set's preset is taken by itself; `--preset NAME` names another."
    return "\n".join([said, "", "| preset | differs from the defaults in |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return escaped(text).replace("|", "\\|")
