"""Docstrings as Markdown."""

import re
from html import escape


def escaped(text: str) -> str:
    """``<`` and ``&`` made harmless, but in code, where Markdown does so."""
    parts = re.split(r"(`[^`]+`|^ {4}.*$)", text, flags=re.MULTILINE)
    return "".join(part if number % 2 else escape(part, quote=False) for number, part in enumerate(parts))


def lists(text: str) -> str:
    """Numbered lists with what Markdown wants: an empty line before and after, and items indented by four."""
    text = re.sub(r"^   (?=\S)", "    ", text, flags=re.MULTILINE)
    text = re.sub(r"^(?!\d+\. |    )(.+)\n(?=\d+\. )", r"\1\n\n", text, flags=re.MULTILINE)
    return re.sub(r"^((?:\d+\. |    ).+)\n(?!\d+\. |    |\n)(?=.)", r"\1\n\n", text, flags=re.MULTILINE)
