"""unbraid explore: a trained run as a local web page for one's own images."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from unbraid.cli.parsing import say

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser(parser: "ArgumentParser", words: Sequence[str]) -> None:
    parser.add_argument("run", type=str, help="run directory")
    parser.add_argument("--port", type=int, default=7860, help="at which the page is served")
    parser.add_argument("--host", type=str, default="127.0.0.1", help="0.0.0.0 shows the page to the whole network")


def run(args: "Namespace") -> None:
    """Until Ctrl-C or a request to end (SIGTERM), which may also come before the page is open."""
    with suppress(KeyboardInterrupt):
        _serve(args)


def _serve(args: "Namespace") -> None:
    from unbraid.explore.app import check_address, serve
    from unbraid.explore.explorer import open_run

    check_address(args.host, args.port)  # before the work, not after it
    with serve(open_run(args.run), args.host, args.port) as address:
        say(f"{address} is open: drop an image on the page; Ctrl-C closes it")
        while True:
            time.sleep(3600)
