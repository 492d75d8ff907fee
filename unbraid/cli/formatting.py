"""How ``--help`` looks: what an option means, and its default where there is one to see."""

from argparse import ONE_OR_MORE, OPTIONAL, SUPPRESS, ZERO_OR_MORE, Action

from jsonargparse import ArgumentParser, DefaultHelpFormatter


class HelpFormatter(DefaultHelpFormatter):  # type: ignore[misc]
    """jsonargparse's, less the types: choices stand in the option's line, and text and numbers explain themselves."""

    def _get_help_string(self, action: Action) -> str:
        text, default = action.help or "", action.default
        if not action.option_strings or action.nargs == 0 or default in (None, "", [], SUPPRESS) or "default:" in text:
            return text
        return f"{text} (default: {str(default).lower() if isinstance(default, bool) else '%(default)s'})"


def usage(parser: ArgumentParser) -> str:
    """One line: the options, of which a method has fifty, stand below it."""
    places = [action for action in parser._actions if not action.option_strings]
    return " ".join([parser.prog, *map(_place, places), "[options]"])


def _place(action: Action) -> str:
    name = action.dest.upper() + " ..." * (action.nargs in (ONE_OR_MORE, ZERO_OR_MORE))
    return f"[{name}]" if action.nargs in (OPTIONAL, ZERO_OR_MORE) else name
