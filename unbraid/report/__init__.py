"""Many run directories in, one self-contained HTML page out. Reads files only; never needs torch."""

from collections.abc import Sequence
from pathlib import Path


def report(folders: Sequence[Path | str], out: Path) -> Path:
    """Write the page about every run at or below ``folders`` and return its path.

    Raises:
        UserError: If there is no run, a file of a run is damaged, or ``out`` cannot be written.
    """
    from unbraid.report.page import write_page

    return write_page(folders, out)
