"""unbraid doctor: what is installed, how fast this machine is, and where data and weights are looked for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    """It takes none of its own."""


def run(args: "Namespace") -> object:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from unbraid.doctor import examine

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    found, topic = list(examine()), ""
    for one in found:
        if topic and one.topic != topic:
            table.add_section()
        table.add_row("" if one.topic == topic else one.topic, one.name, one.value, one.remedy)
        topic = one.topic
    Console().print(table)
    return found
