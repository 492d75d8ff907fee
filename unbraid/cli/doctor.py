"""unbraid doctor: what is installed, how fast this machine is, and where data and weights are looked for."""

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("--json", action="store_true", help="for scripts: a list of findings")


def run(args: "Namespace") -> None:
    from unbraid.doctor import examine

    if args.json:
        say(json.dumps([dataclasses.asdict(one) for one in examine()], indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    topic = ""
    for one in examine():
        if topic and one.topic != topic:
            table.add_section()
        table.add_row("" if one.topic == topic else one.topic, one.name, one.value, one.remedy)
        topic = one.topic
    Console().print(table)
