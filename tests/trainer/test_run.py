"""Whole runs on the tiny presets: what they write, that they repeat, stop, resume, and refuse what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from filelock import FileLock

import unbraid
from unbraid import checkpoint
from unbraid.config import RunConfig
from unbraid.errors import UserError
from unbraid.records import RunDir, read_json, read_lines, write_json
from unbraid.trainer import Trainer

DATA = "digits:source=sklearn,num=400"
TINY = {"preset": "tiny", "precision": "fp32", "log_every": 3, "metrics": ["leakage", "informativeness", "retrieval"]}


def weights(run):
    return checkpoint.load_weights(run.checkpoint)


def assert_same_weights(first, second):
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def without_time(run):
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read_lines(run.log)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return unbraid.train("dcodr", DATA, out=tmp_path_factory.mktemp("runs") / "whole", **TINY)


def test_a_run_directory_holds_what_is_needed(whole):
    found = {path.name for path in whole.path.iterdir()}
    files = {"config.json", "env.json", "spec.json", "train.jsonl", "checkpoint", "codes.npz", "samples.npz"}
    assert found == files | {"scores.jsonl", "DONE", ".lock"}
    assert read_json(whole.env)["precision"]["chosen"] == "fp32"
    assert any("random features" in note for note in read_json(whole.env)["notes"])
    lines = list(read_lines(whole.log))
    assert lines[-1]["step"] == checkpoint.load_state(whole.checkpoint)["num_steps"]
    assert {"main/contrast", "main/rec"} < set(lines[0])
    metrics = {record.metric for record in whole.records()}
    assert {"leakage", "informativeness", "retrieval"} <= metrics
    with np.load(whole.samples) as samples:
        assert samples["strip_images"].shape[1:] == (7, 32, 32, 3)
        assert samples["swap_images"].shape == (7, 7, 32, 32, 3)


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path):
    (tmp_path / "run").mkdir()
    config = RunConfig.make("dcodr", DATA, **TINY)
    write_json(RunDir(tmp_path / "run").config, config.to_dict())
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(UserError, match="another process is training"):
        unbraid.train("dcodr", DATA, out=tmp_path / "run", **TINY)
    assert unbraid.train("dcodr", DATA, out=tmp_path / "run", **TINY).is_done()


def test_the_encoder_is_loaded_as_it_was_trained(whole):
    encoder = unbraid.load(whole)
    with np.load(whole.codes) as codes:
        expected = codes["z"]
    from unbraid import data

    images = data.load(DATA).images[:9]
    np.testing.assert_allclose(encoder.encode(np.asarray(images)), expected[:9], rtol=1e-4, atol=1e-5)
    floats = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    np.testing.assert_allclose(encoder.encode(torch.from_numpy(floats)), expected[:9], rtol=1e-4, atol=1e-5)


def test_wrong_images_are_named(whole):
    encoder = unbraid.load(whole)
    with pytest.raises(UserError, match="the encoder takes"):
        encoder.encode(np.zeros((2, 8, 8, 3), dtype=np.uint8))
    with pytest.raises(UserError, match="images must be"):
        encoder.encode(np.full((2, 3, 32, 32), np.nan))


def test_same_seed_same_bits_and_another_seed_not(whole, tmp_path):
    again = unbraid.train("dcodr", DATA, out=tmp_path / "again", **TINY)
    assert_same_weights(whole, again)
    assert without_time(whole) == without_time(again)
    assert [r.value for r in whole.records()] == [r.value for r in again.records()]
    other = unbraid.train("dcodr", DATA, out=tmp_path / "other", seed=1, epochs=1, **TINY)
    assert not torch.equal(weights(other)["encoder.projection.weight"], weights(whole)["encoder.projection.weight"])


def test_stopped_at_any_step_and_resumed_is_the_same(whole, tmp_path, monkeypatch):
    out, begun = tmp_path / "resumed", Trainer._begin_epoch
    for stop_at in (1, 7, 20):

        def stop(self, stop_at=stop_at):
            if self.done == stop_at:
                raise RuntimeError("the power went")
            begun(self)

        monkeypatch.setattr(Trainer, "_begin_epoch", stop)
        with pytest.raises(RuntimeError):
            unbraid.train("dcodr", DATA, out=out, checkpoint_seconds=0.0, **TINY)
        assert checkpoint.load_state(out / "checkpoint")["step"] == stop_at
    monkeypatch.setattr(Trainer, "_begin_epoch", begun)
    resumed = unbraid.train("dcodr", DATA, out=out, **TINY)
    assert_same_weights(whole, resumed)
    assert without_time(whole) == without_time(resumed)


def command(out):
    options = ["--data", DATA, "--preset", "tiny", "--precision", "fp32", "--log_every", "3", "--out", str(out)]
    return [
        sys.executable,
        "-m",
        "unbraid",
        "train",
        "dcodr",
        *options,
        "--checkpoint_seconds",
        "0",
        "--metrics",
        "leakage",
    ]


def wait_for(path, process, seconds=120):
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_loses_nothing(whole, tmp_path, how):
    run = RunDir(tmp_path / "run")
    with subprocess.Popen(command(run.path), stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        wait_for(run.checkpoint, process)
        process.send_signal(how)
        process.wait()
        if how == signal.SIGINT:
            assert process.returncode == 130
            assert b"the same command goes on" in process.stderr.read()
    assert not run.is_done()
    done = subprocess.run(command(run.path), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert_same_weights(whole, run)
    assert without_time(whole) == without_time(run)


def test_two_processes_equal_one(tmp_path):
    out = {}
    for name, launch in {"one": [], "two": ["-m", "torch.distributed.run", "--nproc_per_node", "2"]}.items():
        for kind in ("dcodr-norec", "simclr"):
            out[kind, name] = RunDir(tmp_path / f"{kind}-{name}")
            options = ["--data", DATA, "--preset", "tiny", "--precision", "fp32", "--epochs", "1", "--device", "cpu"]
            options += ["--metrics", "leakage"]
            words = [
                sys.executable,
                *launch,
                "-m",
                "unbraid",
                "train",
                kind,
                *options,
                "--out",
                os.fspath(out[kind, name]),
            ]
            port = {"MASTER_PORT": "0", "OMP_NUM_THREADS": "1"}
            done = subprocess.run(words, capture_output=True, check=False, env=os.environ | port)
            assert done.returncode == 0, done.stderr.decode()
    for kind in ("dcodr-norec", "simclr"):
        one, two = weights(out[kind, "one"]), weights(out[kind, "two"])
        for key in one:
            torch.testing.assert_close(
                one[key], two[key], rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key} {text}"
            )
        lines = [without_time(out[kind, name]) for name in ("one", "two")]
        assert lines[0][-1]["main/contrast"] == pytest.approx(lines[1][-1]["main/contrast"], rel=1e-3)


def test_a_done_run_is_not_trained_again(whole):
    before = whole.codes.stat().st_mtime_ns
    unbraid.train("dcodr", DATA, out=whole.path, **TINY)
    assert whole.codes.stat().st_mtime_ns == before


def test_another_configuration_in_the_same_folder_is_refused(whole):
    with pytest.raises(UserError, match=r"another configuration \(temperature: 0.2 -> 0.5\)"):
        unbraid.train("dcodr", DATA, out=whole.path, temperature=0.5, **TINY)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="is not empty and holds no run"):
        unbraid.train("dcodr", DATA, out=tmp_path, **TINY)


def test_a_loss_that_diverges_is_named_and_the_checkpoint_kept(tmp_path):
    with pytest.raises(UserError, match=r"main/contrast became nan before step"):
        unbraid.train("simclr", DATA, out=tmp_path / "run", lr=1e30, **TINY)
    state = checkpoint.load_state(tmp_path / "run" / "checkpoint") if (tmp_path / "run" / "checkpoint").exists() else {}
    assert state.get("step", 0) < 9


def test_a_damaged_checkpoint_is_named(whole, tmp_path):
    run = unbraid.train("untrained", DATA, out=tmp_path / "run", **TINY)
    (run.checkpoint / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="is damaged"):
        unbraid.load(run)


def test_auto_precision_is_measured_once_and_kept(tmp_path):
    out = tmp_path / "run"
    run = unbraid.train("simclr", DATA, out=out, preset="tiny", epochs=1)
    precision = read_json(run.env)["precision"]
    assert set(precision["seconds_per_step"]) == {"fp32", "fp32-channels-last", "bf16"}
    assert precision["chosen"] == min(precision["seconds_per_step"], key=precision["seconds_per_step"].get)


def test_a_tracker_gets_the_curves(tmp_path):
    pytest.importorskip("tensorboard")
    run = unbraid.train("simclr", DATA, out=tmp_path / "run", tracker="tensorboard", epochs=1, **TINY)
    assert list(run.path.rglob("events.out.tfevents.*"))


def test_config_comes_back_as_it_was(whole):
    from unbraid.config import RunConfig

    values = read_json(whole.config)
    assert json.loads(json.dumps(RunConfig.from_dict(values).to_dict())) == values


def test_a_slash_behind_a_folder_makes_no_other_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    names = ("photos/", "./photos", "digits/", "digits:bias=0.9")
    assert [RunConfig.make("simclr", name).data for name in names] == ["photos", "photos", "digits/", "digits:bias=0.9"]


@pytest.mark.parametrize(("options", "warned"), [({}, True), ({"max_steps": 3}, False), ({"epochs": 60}, False)])
def test_a_training_of_few_steps_is_pointed_out(caplog, options, warned):
    from unbraid.run import _warn_of_few_steps

    _warn_of_few_steps(RunConfig.make("simclr", "photos", **({"epochs": 20} | options)), num_batches=2, num_images=300)
    assert ("only 40 steps to train: an epoch of 300 images is 2; raise --epochs" in caplog.text) == warned


def test_a_run_goes_on_in_the_precision_it_began_with(whole):
    (whole.path / "DONE").unlink()
    with pytest.raises(UserError, match="began in fp32 and goes on in it"):
        unbraid.train("dcodr", DATA, out=whole.path, **TINY | {"precision": "bf16"})
    unbraid.train("dcodr", DATA, out=whole.path, **TINY)


def test_scores_computed_anew_leave_the_others(tmp_path):
    from unbraid.evaluation import evaluate

    run = unbraid.train("untrained", DATA, out=tmp_path / "run", **TINY)
    before = {(record.metric, record.column, record.variant) for record in run.records()}
    evaluate(run, ["retrieval"])
    assert {(record.metric, record.column, record.variant) for record in run.records()} == before


def test_a_death_between_two_renames_loses_no_checkpoint(tmp_path):
    run = unbraid.train("untrained", DATA, out=tmp_path / "run", **TINY)
    run.checkpoint.rename(run.path / ".checkpoint.old")
    assert unbraid.load(run).spec.name == "digits"
    assert run.checkpoint.is_dir()


def test_the_name_of_a_folder_chooses_no_preset():
    from unbraid.config import preset_values
    from unbraid.methods import method

    kind = method("dcodr")
    assert preset_values(kind, "photos/tiny", None) == preset_values(kind, "./digits", None) == {}
    assert preset_values(kind, "digits:bias=0.5", None) == kind.presets["digits"]
