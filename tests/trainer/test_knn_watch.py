"""kNN while training: what it writes, that it changes nothing, that a resumed run has the same lines."""

import numpy as np
import pytest
from desk import write_desk

import unbraid
from unbraid.errors import UserError
from unbraid.records import read_lines
from unbraid.trainer import Trainer

DATA = "digits:source=sklearn,num=300"
TINY = {"preset": "tiny", "precision": "fp32", "metrics": ["knn"], "checkpoint_seconds": 0.0}


def lines(run):
    return list(read_lines(run.path / "knn.jsonl"))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    return unbraid.train("barlow-twins", DATA, out=tmp_path_factory.mktemp("runs") / "one", knn_every=1, **TINY)


def test_each_epoch_has_top_1_and_top_5(watched):
    found = lines(watched)
    last = [record for record in watched.records() if record.metric == "knn"]
    per_epoch = found[-1]["step"] // 2
    assert [line["step"] for line in found] == [per_epoch, per_epoch, 2 * per_epoch, 2 * per_epoch]
    assert [line["variant"] for line in found[:2]] == [f"top-{top}, k = 200, temperature 0.5" for top in (1, 5)]
    for line, record in zip(found[2:], last, strict=True):  # the last one is measured on the finished weights
        assert line["value"] == pytest.approx(record.value, abs=0.02)
        assert (line["num"], line["chance"]) == (record.num, record.chance)


def test_training_is_the_same_without_it(watched, tmp_path):
    plain = unbraid.train("barlow-twins", DATA, out=tmp_path / "plain", **TINY)
    assert not (plain.path / "knn.jsonl").exists()
    with np.load(plain.codes) as one, np.load(watched.codes) as other:
        np.testing.assert_array_equal(one["z"], other["z"])


def test_a_resumed_run_has_the_same_lines(watched, tmp_path, monkeypatch):
    begun, last = Trainer._begin_epoch, lines(watched)[-1]["step"]

    def stop(self):
        if self.done == last - 1:
            raise RuntimeError("the power went")
        begun(self)

    monkeypatch.setattr(Trainer, "_begin_epoch", stop)
    options = TINY | {"knn_every": 1, "knn_temperature": 0.5}
    with pytest.raises(RuntimeError):
        unbraid.train("barlow-twins", DATA, out=tmp_path / "run", **options)
    monkeypatch.setattr(Trainer, "_begin_epoch", begun)
    stopped = tmp_path / "run" / "knn.jsonl"
    stopped.write_text(stopped.read_text() + '{"step": 10000, "value": 1.0}\n')  # measured after the last checkpoint
    assert lines(unbraid.train("barlow-twins", DATA, out=tmp_path / "run", **options)) == lines(watched)


def test_where_it_cannot_be_measured(tmp_path):
    write_desk(tmp_path)
    options = {"out": tmp_path / "run", "preset": "tiny", "precision": "fp32", "knn_every": 1}
    with pytest.raises(UserError, match="photos names no label; give --label"):
        unbraid.train("simclr", str(tmp_path / "photos"), size=32, **options)
    with pytest.raises(UserError, match="is measured already: leave out --knn_every"):
        unbraid.train("vanilla", DATA, **options)
    assert not (tmp_path / "run").exists()
