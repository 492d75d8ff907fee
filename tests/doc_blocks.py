"""Reads the documentation: its fenced blocks, and the command lines in them and between them."""

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FILES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")]
PAGES = [path.relative_to(ROOT) for path in [*_FILES, *sorted((ROOT / "docs").rglob("*.md"))]]
FENCE = re.compile(r'^```([\w-]*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")  # a line of prose may break inside


@dataclass(frozen=True)
class Block:
    """What stands between two fences. Without a language it is commands; with a title it is that file."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """One line each; a loop gives a line for each of its values."""
        return [line for lines in self.loops() for line in lines]

    def loops(self) -> list[list[str]]:
        """The lines that a command of the block becomes, one for each value of the loops around it."""
        return list(_loops(self.text.replace("\\\n", " ")))


def blocks(page: str, text: str) -> list[Block]:
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1] or "bash", found[2] or "", found[3])
        for found in FENCE.finditer(text)
    ]


def of_page(page: Path) -> list[Block]:
    return blocks(str(page), (ROOT / page).read_text())


def _loops(script: str) -> Iterator[list[str]]:
    """For a script made of commands, comments and ``for`` loops."""
    values: list[tuple[str, list[str]]] = []
    for part in re.split(r"[;\n]", script):
        part = re.sub(r"(^|\s)#.*", "", part).strip().removeprefix("do ").strip()
        if loop := re.fullmatch(r"for (\w+) in (.+)", part):
            values.append((loop[1], loop[2].split()))
        elif part == "done":
            values.pop()
        elif part not in ("", "do"):
            yield [_filled(part, values, chosen) for chosen in itertools.product(*(each for _, each in values))]


def _filled(line: str, values: list[tuple[str, list[str]]], chosen: tuple[str, ...]) -> str:
    for (name, _), value in zip(values, chosen, strict=True):
        line = line.replace(f"${name}", value)
    return line


def inline(text: str) -> list[str]:
    """Code between the words of a page, fenced blocks left out."""
    return [" ".join(code.split()) for code in CODE.findall(FENCE.sub("", text))]


def words(command: str) -> list[str]:
    """The words of ``unbraid`` in a command, however it is started; none if it starts something else."""
    said = shlex.split(re.split(r" (?:[|&]{1,2}|\d?>) |\)$", command.partition("$(")[2] or command)[0])
    return said[said.index("unbraid") + 1 :] if "unbraid" in said else []
