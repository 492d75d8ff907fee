"""Pages made from the package itself: the methods from their docstrings and hyper-parameters."""

import dataclasses
import importlib

from mkdocs.structure.files import File, Files

from unbraid.methods import METHODS, method


def on_files(files: Files, config) -> Files:
    text = "# Methods\n\n" + "\n\n".join(map(_section, METHODS))
    files.append(File.generated(config, "methods.md", content=text))
    return files


def _section(name: str) -> str:
    kind = method(name)
    doc = (importlib.import_module(kind.__module__).__doc__ or "").splitlines()
    body = "\n".join(f"**{line}**\n" if line and not line.startswith(" ") else line[4:] for line in doc[2:])
    rows = "\n".join(
        f"| `{f.name}` | `{f.default}` | {f.metadata['doc']} |" for f in dataclasses.fields(kind.config_class)
    )
    return f"## {name}\n\n{doc[0]}\n\n{body}\n\n| hyper-parameter | default | meaning |\n|---|---|---|\n{rows}"
