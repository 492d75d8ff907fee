"""unbraid watch: what a person, or a script, sees of runs."""

import json

from desk import refuse, say


def test_a_look_at_a_run_that_is_done(trained, capsys):
    for words in ((), ("--once",)):
        said = say(capsys, "watch", trained.path.parent, *words)
        assert trained.name in said
        assert "100%" in said
    found = json.loads(say(capsys, "watch", trained.path, "--json"))
    assert [one["state"] for one in found] == ["done"]


def test_nothing_to_watch(desk, capsys):
    assert "no folder at runs" in refuse(capsys, "watch")
