"""Many run directories in, one self-contained HTML page or Markdown file out. Reads files only; never needs torch."""

from collections.abc import Sequence
from pathlib import Path


def report(folders: Sequence[Path | str], out: Path, *, against: Path | str | None = None) -> Path:
    """Write about every run at or below ``folders`` and return the path: a page, or Markdown if ``out`` ends in .md.

    Args:
        against: An earlier page, or a folder of runs: say what has changed since.

    Raises:
        UserError: If there is no run, a file of a run is damaged, ``against`` holds no scores, or ``out`` cannot be
            written.
    """
    if out.suffix == ".md":
        from unbraid.report.text import write_markdown

        return write_markdown(folders, out, against)
    from unbraid.report.page import write_page

    return write_page(folders, out, against)
