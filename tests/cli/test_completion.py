"""Completion as bash does it, and that every shell's script knows every name."""

import shutil
import subprocess

import pytest
import shtab
from desk import refuse

from unbraid.cli import COMMANDS, completion
from unbraid.data import DATASETS
from unbraid.methods import METHODS, method
from unbraid.metrics import METRICS
from unbraid.studies import STUDIES


@pytest.fixture(scope="module")
def parser():
    return completion.everything()


@pytest.fixture(scope="module")
def complete(parser, tmp_path_factory):
    """What bash offers for a line, whose last word is not finished."""
    script = tmp_path_factory.mktemp("completion") / "unbraid"
    script.write_text(shtab.complete(parser, "bash"))
    function = 'source "$0"; COMP_WORDS=(unbraid "$@"); COMP_CWORD=$#; _shtab_unbraid; printf "%s\\n" "${COMPREPLY[@]}"'

    def offered(*words):
        done = subprocess.run(["bash", "-c", function, script, *words], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    return offered


bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


@bash
def test_commands_and_what_follows_them(complete):
    assert complete("") == set(COMMANDS)
    assert complete("ev") == {"evaluate"}
    assert complete("train", "") == set(METHODS)
    assert complete("study", "") == set(STUDIES)
    assert complete("population", "pbt", "dcodr") == {"dcodr", "dcodr-norec"}
    assert complete("show", "factor") == {"factor-vae", "factor-vae-score"}
    assert complete("list", "") == {"methods", "data", "views", "metrics"}
    assert complete("data", "e") == {"export"}


@bash
def test_options_are_the_method_s_own(complete):
    assert complete("train", "dcodr", "--rec") == {"--rec_weight"}
    assert complete("train", "simclr", "--rec") == set()
    assert {"--quiet", "--json", "--seed", "--labels"} <= complete("train", "simclr", "--")
    assert complete("population", "pbt", "beta-vae", "--gener") == {"--generations"}
    assert complete("population", "pbt", "semi-beta-vae", "--num_l") == {"--num_labels"}  # which both could mean
    assert complete("explore", "--") == {"--help", "--host", "--port"}


@bash
def test_names_of_data_presets_metrics_and_values(complete):
    assert complete("train", "simclr", "--epochs", "3", "--data", "coil") == {"coil100"}
    assert complete("encode", "run", "--data", "") >= set(DATASETS)
    assert complete("train", "dcodr", "--preset", "") == set(method("dcodr").presets)
    for action in ("pbt", "rpu"):
        presets = {*method("beta-tcvae").presets, f"published-{action}"}
        assert complete("population", action, "beta-tcvae", "--preset", "") == presets
    assert complete("evaluate", "run", "--metrics", "mig", "dci") == {
        name for name in METRICS if name.startswith("dci")
    }
    assert complete("train", "dcodr", "--precision", "fp") == {"fp32", "fp32-channels-last"}
    assert complete("train", "dcodr", "--head", "") == {"true", "false"}


@bash
def test_files(complete, tmp_path, monkeypatch):
    (tmp_path / "codes.npy").touch()
    monkeypatch.chdir(tmp_path)
    assert complete("audit", "co") == {"codes.npy"}
    assert complete("train", "simclr", "--config", "co") == {"codes.npy"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_s_script_names_every_command(parser, shell):
    script = shtab.complete(parser, shell)
    for word in (*COMMANDS, *METHODS, "rec_weight", "generations"):
        assert word in script


def test_an_unknown_shell(capsys):
    assert "one of 'bash', 'zsh', 'fish', not 'csh'" in refuse(capsys, "completion", "csh")


def test_an_option_where_there_is_none(capsys):
    assert refuse(capsys, "completion", "bash", "--json") == "unbraid: completion has no option '--json'.\n"
