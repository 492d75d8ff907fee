"""What a study says: Markdown to read, and one row for each number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unbraid.atomic import atomic_file
from unbraid.records import write_json


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The text, the numbers, and whatever else is written beside them."""

    text: str  # Markdown
    rows: Sequence[Mapping[str, Any]]
    files: Mapping[str, str] = field(default_factory=dict)  # ending, as in ".svg" -> content

    def write(self, folder: Path, name: str) -> list[Path]:
        """``name.md``, ``name.csv``, ``name.json`` and the further files."""
        import pandas

        rows = [{key: _plain(value) for key, value in row.items()} for row in self.rows]
        table = pandas.DataFrame(rows).to_csv(index=False)
        contents = {".md": self.text, ".csv": table, **self.files}
        paths = [folder / f"{name}{ending}" for ending in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            with atomic_file(path) as temporary:
                temporary.write_text(content)
        write_json(folder / f"{name}.json", rows)
        return [*paths, folder / f"{name}.json"]


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's; what is not a number as None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
