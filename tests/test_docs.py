"""Every command and every Python block of the documentation is read by the real parser, and run where that is quick.

To be quick, a run is made small: 200 digits in the place of any named data set (``fake_desk``), the preset ``tiny``, a
loop's first values, two epochs of the networks that probe. The commands of a page are run in order in one folder, as a
reader would.
"""

import dataclasses
import importlib
import re
import shlex
from contextlib import contextmanager
from pathlib import Path

import fake_desk
import pytest
from doc_blocks import PAGES, ROOT, Block, inline, of_page, words
from fake_members import Inline

import unbraid
from unbraid import data, metrics
from unbraid.cli import COMMANDS, main
from unbraid.config import RunConfig, Settings, field_names
from unbraid.data.options import DataOptions
from unbraid.methods import METHODS, method
from unbraid.metrics import network_probe
from unbraid.population import executors
from unbraid.population.config import PopulationSettings
from unbraid.population.member import train_member
from unbraid.population.recursion import RecursionSettings
from unbraid.registry import is_own
from unbraid.studies import STUDIES, find_study

LANGUAGES = {"bash", "python", "text", "yaml", "csv", "json"}
BLOCKS = [block for page in PAGES for block in of_page(page)]
PROGRAMS = ("unbraid", "python", "pip", "make", "torchrun", "srun", "export")
STAND_INS = {  # what an upper-case word between the lines stands for
    "RUN": "runs/dcodr-photos-0",
    "POP": "runs/pbt-beta-tcvae-sprites-0",
    "FOLDER": "published",
    "METHOD": "dcodr",
    "NAME": "dcodr-tables",
    "DATA": "digits",
    "SET": "digits",
    "OTHER": "photos",
    "OLD": "runs/old",
}
NOT_RUN = {  # how a command begins, as a pattern -> why it is read and not run
    "unbraid population rpu": "a whole recursion; tests/population runs it",
    "unbraid population labels": "needs a recursion that has ended; tests/population runs it",
    "unbraid study dcodr-tables": "nine runs; tests/studies runs it",
    "unbraid linear": "trains on images for minutes; tests/studies runs it",
    "unbraid watch": "goes on until what trains has ended",
    "unbraid explore": "serves a page until it is stopped",
    "unbraid import": "reads published folders; tests/importers writes and reads them",
    "unbraid study advise": "a judge of 64 x 64 pixels; tests/studies runs it",
    ".*advise.yaml": "the recipe of the study before it",
    ".* --executor (ray|slurm)": "a cluster; tests/population/test_cluster.py has one",
    "torchrun|srun": "several processes; tests/trainer starts them",
    "export": "the reader's own folder of data",
    "python": "tests/test_examples.py runs the examples",
    "pip": "installs",
    "make": "installs, or runs what these tests run",
}


def write_files(page: Path) -> None:
    """The blocks that have a file's name."""
    for block in of_page(page):
        if block.title:
            Path(block.title).write_text(block.text)


def commands_of(page: Path) -> list[str]:
    between = [code for code in inline((ROOT / page).read_text()) if code.startswith("unbraid ")]
    fenced = [line for block in of_page(page) if block.language == "bash" for line in block.commands()]
    shown = [block.text.splitlines() for block in of_page(page) if block.language == "text"]
    quoted = [line for lines in shown for line in lines if re.match(r"unbraid |\w+=\$\(unbraid ", line)]
    return list(dict.fromkeys(fenced + quoted + between))


def exit_code(said: list[str]) -> int:
    try:
        return main(said)
    except SystemExit as ended:  # --help
        return ended.code or 0


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Parses a command to its end and does nothing; what the parser made of it."""
    monkeypatch.chdir(tmp_path)
    found = []
    for command in COMMANDS.values():
        monkeypatch.setattr(importlib.import_module(f"unbraid.cli.{command.module}"), "run", found.append)

    def parse(said: list[str]):
        found.clear()
        assert exit_code(said) == 0
        return found[0] if found else None

    return parse


def check_data(name: str) -> None:
    base, _, parameters = name.partition(":")
    if base in data.DATASETS:
        data._parameters(base, parameters, data.lookup("data set", data.DATASETS, base, "unbraid.data"))


def check_names(command: str, options: dict[str, object]) -> None:
    """Data sets, metrics, methods and values that the parser leaves to the command."""
    if isinstance(options.get("data"), str):
        check_data(options["data"])
    metrics.check_names(name for name in options.get("metrics") or [] if name != "all")
    for name in options.get("methods") or []:
        method(name)
    if command == "train":
        RunConfig.make(**{name: value for name, value in options.items() if name not in ("config", "out")})


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_is_understood(page, read, capsys):
    advice = Path("runs/study-photos/advise.yaml")
    advice.parent.mkdir(parents=True)
    advice.write_text("views: crop\n")
    write_files(page)
    for line in commands_of(page):
        said = [STAND_INS.get(word, word) for word in words(line)]
        if not said:
            assert shlex.split(line)[0] in PROGRAMS, f"{page}: no command that we know: {line}"
        elif len(said) == 1 and not said[0].startswith("-"):
            assert said[0] in COMMANDS, f"{page}: {line}"
        elif (args := read(said)) is not None:
            check_names(said[0], vars(args))
        assert capsys.readouterr().err == "", line


def smaller(said: list[str]) -> list[str]:
    """The same command, made quick. Of an option that is given twice the last value counts."""
    if said[0] not in ("train", "population"):
        return said
    if "--preset" in said:
        said = [*said[: said.index("--preset")], *said[said.index("--preset") + 2 :]]
    more = ["--precision", "fp32", *([] if is_own(said[1]) else ["--preset", "tiny"])]
    if said[0] == "population":
        more += ["--members", "2", "--generations", "1", "--images", "32", "--batch_size", "16", "--metrics", "mig"]
    elif "--metrics" not in said:
        more += ["--metrics", "retrieval"]
    return [*said, *more]


@pytest.fixture
def reader(monkeypatch, tmp_path):
    """Somebody who sits before a small set of everything."""

    @contextmanager
    def open_inline(name, work, folder, **options):
        yield Inline(train_member)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", fake_desk.load_small)
    monkeypatch.setattr(executors, "open_executor", open_inline)
    for name in ("PUBLISHED", "STANDARDISED"):
        protocol = dataclasses.replace(getattr(network_probe, name), epochs=2, least_steps=0)
        monkeypatch.setattr(network_probe, name, protocol)
    fake_desk.prepare(tmp_path)


def run_command(line: str) -> None:
    if any(re.match(pattern, line) for pattern in NOT_RUN):
        return
    assert exit_code(smaller(words(line))) == 0, line


def repeats(block: Block) -> bool:
    """Whether a block of an earlier page has all these commands."""
    earlier = [other for other in BLOCKS[: BLOCKS.index(block)] if other.page != block.page]
    return any(set(block.commands()) <= set(other.commands()) for other in earlier if other.language == "bash")


def run_python(block: Block) -> None:
    codes, labels = fake_desk.codes_and_labels()
    names = {"__name__": "docs", "unbraid": unbraid, "codes": codes, "labels": labels}
    text = re.sub(r'(unbraid\.train\("[^"]+")', r'\1, preset="tiny", precision="fp32"', block.text)
    exec(compile(text, str(block), "exec"), names)


def by_cost(page: Path) -> object:
    is_slow = page.name in ("self-supervised.md", "populations.md", "clusters.md") or page.parent.name == "results"
    return pytest.param(page, marks=[pytest.mark.slow] if is_slow else [], id=str(page))


@pytest.mark.parametrize("page", [by_cost(page) for page in PAGES if of_page(page)])
@pytest.mark.usefixtures("reader")
def test_a_page_runs(page, monkeypatch):
    monkeypatch.syspath_prepend(Path.cwd())
    write_files(page)
    for block in of_page(page):
        if block.language == "python":
            run_python(block)
        if block.language == "bash" and not repeats(block):
            for lines in block.loops():
                run_command(lines[0])


def test_every_block_has_a_language_that_we_read():
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []


def test_every_option_between_the_lines_exists():
    """An option that stands alone, such as ``--epochs``, is one of some command."""
    classes = [method(name).config_class for name in METHODS] + [find_study(name) for name in STUDIES]
    known = set().union(*map(field_names, [*classes, Settings, DataOptions, PopulationSettings, RecursionSettings]))
    for file in (ROOT / "unbraid" / "cli").glob("*.py"):
        known |= set(re.findall(r'"--(\w+)"', file.read_text()))
    known |= {"config", "help", "version"}
    for page in PAGES:
        alone = [code for code in inline((ROOT / page).read_text()) if code.startswith("--")]
        said = {code.split()[0].partition("=")[0] for code in alone}
        assert {option for option in said if option[2:].replace("-", "_") not in known} == set(), page
