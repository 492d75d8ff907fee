"""unbraid doctor: what a person, or a script, learns about this machine."""

import json

from desk import say


def test_findings_for_scripts(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("UNBRAID_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path / "cache"))
    found = {one["name"]: one for one in json.loads(say(capsys, "doctor", "--json"))}
    assert {"torch", "device", "cores", "fp32", "bf16"} <= set(found)
    assert found["torch"]["remedy"] == ""
    assert found["UNBRAID_DATA"]["remedy"] == "set it to the folder that holds data sets"
    assert found["prepared data"]["value"].startswith(str(tmp_path / "cache"))
    assert sum("taken by auto" in one["value"] for one in found.values()) == 1


def test_a_table_for_people(capsys):
    said = say(capsys, "doctor")
    assert "torchvision" in said
    assert "images/s" in said
