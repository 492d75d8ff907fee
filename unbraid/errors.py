"""What goes wrong on the user's side: one line that says what to do, never a traceback."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake the user can mend. The command line prints its text as one line and exits with code 2."""


class DataError(UserError):
    """A data set that is missing, damaged or not what its name promises."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` or, when nothing is near, the list of what is known, if anything is."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not known:
        return ""
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."


class Stopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """Training was interrupted and has written what it needs to go on. The command line exits with code 130."""
