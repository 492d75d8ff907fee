"""What commands say about themselves, and which of default, preset, file and flag wins."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from desk import DATA, say
from fakes import perfect_codes

import unbraid
from unbraid.augment import VIEWS
from unbraid.cli import COMMANDS, main
from unbraid.data import DATASETS
from unbraid.errors import Stopped
from unbraid.methods import METHODS, method
from unbraid.metrics import METRICS

DEFAULTS = {field.name: field.default for field in dataclasses.fields(method("dcodr-norec").config_class)}
PRESETS = method("dcodr-norec").presets


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def config(capsys, *words, text=""):
    """The options that a line and a file of options come to."""
    Path("c.yaml").write_text(text)
    file = ["--config", "c.yaml"] if text else []
    return yaml.safe_load(say(capsys, "train", "dcodr-norec", *words, *file, "--print_config"))


def test_help_and_version(capsys):
    usage = say(capsys, "--help")
    assert usage == say(capsys) == say(capsys, "-h")
    for name, command in COMMANDS.items():
        assert f"  {name} " in usage
        assert command.help.split(",")[0] in say(capsys, name, "--help")
    assert say(capsys, "--version") == f"unbraid {unbraid.__version__}\n"


@pytest.mark.parametrize("name", METHODS)
def test_help_of_a_method_documents_every_option(capsys, name):
    text = " ".join(say(capsys, "train", name, "--help").split())
    for field in dataclasses.fields(method(name).config_class):
        assert f"--{field.name} " in text
        assert field.metadata["doc"] in text
    for option in ("--domain", "--labels", "--seed", "--config", "--print_config", "--preset"):
        assert f"{option} " in text


@pytest.mark.parametrize(("kind", "names"), [("methods", METHODS), ("data", DATASETS), ("views", VIEWS)])
def test_list(capsys, kind, names):
    assert say(capsys, "list", kind).splitlines() == list(names)


def test_list_of_metrics_says_what_they_mean(capsys):
    lines = say(capsys, "list", "metrics").splitlines()
    assert [line.split()[0] for line in lines] == [*METRICS, "udr"]
    starts = {len(line) - len(line.partition(" ")[2].lstrip()) for line in lines}
    assert len(starts) == 1  # aligned
    assert "mutual information gap" in next(line for line in lines if line.startswith("mig ")).lower()
    assert "models" in lines[-1]


def test_show_udr(capsys):
    text = say(capsys, "show", "udr")
    for word in ("1905.12614", "Lasso", "Differences", "unbraid udr a.npy"):
        assert word in text


@pytest.mark.parametrize("name", METHODS)
def test_show(capsys, name):
    text = say(capsys, "show", name)
    for word in ("Source", "Objective", "Differences", "Logged", "  epochs ", *method(name).presets):
        assert word in text


def test_flag_over_file_over_preset_over_default(capsys):
    chosen = config(capsys, "--data", "digits")
    assert chosen["temperature"] == DEFAULTS["temperature"]
    assert chosen["epochs"] == PRESETS["digits"]["epochs"] != DEFAULTS["epochs"]
    assert chosen["encoder_lr"] == PRESETS["digits"]["encoder_lr"] != DEFAULTS["encoder_lr"]
    chosen = config(capsys, "--data", "digits", text="epochs: 7\nencoder_lr: 5e-2\n")
    assert (chosen["epochs"], chosen["encoder_lr"]) == (7, 0.05)
    chosen = config(capsys, "--data", "digits", "--epochs", 9, text="epochs: 7\nencoder_lr: 5e-2\n")
    assert (chosen["epochs"], chosen["encoder_lr"]) == (9, 0.05)


def test_the_file_may_choose_preset_and_data(capsys):
    assert config(capsys, text="preset: tiny\n")["backbone"] == "tiny"
    assert config(capsys, "--preset", "digits", text="preset: tiny\n")["epochs"] == PRESETS["digits"]["epochs"]
    assert config(capsys, text="data: photos\n")["backbone"] == DEFAULTS["backbone"]  # no preset of that name
    assert config(capsys, f"--data={DATA}", text="data: photos\n")["backbone"] == PRESETS["digits"]["backbone"]


def test_a_printed_configuration_can_be_read_again(capsys):
    chosen = config(capsys, "--preset", "tiny", "--factors", "digit", "slant", "--seed", 3, "--head", "true")
    assert chosen["factors"] == ["digit", "slant"]
    assert config(capsys, text=yaml.safe_dump(chosen)) == chosen


def test_hyphens_and_underscores_are_one(capsys):
    for words in (["--batch-size", 12], ["--batch-size=12"], ["--batch_size", 12], ["--batch_size=12"]):
        assert config(capsys, *words)["batch_size"] == 12


@pytest.mark.parametrize(("words", "value"), [((), True), (("true",), True), (("false",), False)])
def test_a_switch_may_stand_alone(capsys, words, value):
    said = say(capsys, "train", "vanilla", "--augment", *words, "--batch_size", 8, "--print_config")
    assert yaml.safe_load(said)["augment"] is value


def test_stopping_has_its_own_exit_code(capsys, monkeypatch):
    import unbraid.run

    for stop in (Stopped("stopped at step 3 of 9; the same command goes on"), KeyboardInterrupt()):

        def train(*words, stop=stop, **options):
            raise stop

        monkeypatch.setattr(unbraid.run, "train", train)
        assert main(["train", "untrained"]) == 130
        assert "the same command goes on" in capsys.readouterr().err


def test_a_request_to_end_is_as_ctrl_c(capsys, monkeypatch):
    import unbraid.run

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(unbraid.run, "train", lambda *words, **options: signal.raise_signal(signal.SIGTERM))
    assert main(["train", "untrained"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def check(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=100)


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"torch", "pandas", "matplotlib", "sklearn", "scipy", "accelerate", "jsonargparse", "numpy"}
    check(f"import sys, unbraid; assert not {heavy} & set(sys.modules)")


def test_talking_about_methods_and_auditing_codes_needs_no_torch():
    np.save("codes.npy", perfect_codes().z)
    np.savez("labels.npz", scanner=perfect_codes().columns["domain"])
    lines = [["--help"], ["list", "methods"], ["list", "data"], ["list", "views"], ["list", "metrics"]]
    audit = [
        "audit",
        "codes.npy",
        "labels.npz",
        "--domain",
        "scanner",
        "--metrics",
        "leakage",
        "retrieval",
        "mig",
        "--out",
        "card.json",
    ]
    check(
        "import sys; from unbraid.cli import main\n"
        "assert main(['--help']) == 0 and not {'numpy', 'jsonargparse'} & set(sys.modules)\n"
        f"assert all(main(words) == 0 for words in {[*lines, audit]})\n"
        "assert not {'torch', 'accelerate', 'matplotlib'} & set(sys.modules)"
    )
