"""The page as it is served: asked over HTTP as the browser does, without a request to anywhere else."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from unbraid import cli
from unbraid.explore import app
from unbraid.explore.access import own_page_only

pytestmark = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="needs gradio, of unbraid[app]")


@pytest.fixture(scope="module")
def page():
    """The address of a page, in a process of its own: gradio leaves sockets open."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-c", f"from fake_explorer import serve; serve({port})"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes, env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)}) as server:
        yield server.stdout.readline().strip()
        connected, _ = server.communicate(timeout=60)
    assert server.returncode == 0
    assert {line for line in connected.splitlines() if "127.0.0.1" not in line} == set()


def get(request):
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def upload(address, file):
    border = uuid.uuid4().hex
    head = f'--{border}\r\nContent-Disposition: form-data; name="files"; filename="{file.name}"\r\n\r\n'
    body = head.encode() + file.read_bytes() + f"\r\n--{border}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
    (path,) = json.loads(get(urllib.request.Request(f"{address}gradio_api/upload", body, kind)))
    return {"path": path, "orig_name": file.name, "meta": {"_type": "gradio.FileData"}}


def ask(address, name, *inputs):
    """What one function of the page answers; "error" and its text if it refuses."""
    body = json.dumps({"data": inputs}).encode()
    call = f"{address}gradio_api/call/{name}"
    event = json.loads(get(urllib.request.Request(call, body, {"Content-Type": "application/json"})))["event_id"]
    kind, text = get(f"{call}/{event}").strip().split("\n")[-2:]
    assert kind in ("event: complete", "event: error")
    return json.loads(text.removeprefix("data: "))


def test_an_image_is_answered(page, tmp_path):
    Image.effect_noise((50, 37), 40).convert("RGBA").save(tmp_path / "own.png")
    file = upload(page, tmp_path / "own.png")
    table, domain, sentence = ask(page, "answers", file)
    assert "| shape | " in table
    assert {one["label"] for one in domain["confidences"]} <= set("0123")
    assert "25% of the test images" in sentence
    assert ask(page, "neighbours", file, False)[0].count("<figure>") == 9
    assert ask(page, "neighbours", file, True)[0].count("<figure>") == 5
    assert ask(page, "swap", file, [0, 3])[0].count("<figure>") == 2
    assert ask(page, "swap", file, []) == [""]
    images, *places = ask(page, "place_sliders", file, 0)
    assert images.count("<figure>") == 2
    assert ask(page, "traverse", file, 0, *places)[0].count("<figure>") == 2


def test_an_image_of_the_run_is_taken(page):
    (file,) = ask(page, "test_image")
    with Image.open(file["path"]) as image:
        assert image.size == (32, 32)


def test_taken_away_again(page):
    assert ask(page, "neighbours", None, False) == [None]
    assert ask(page, "answers", None) == [None, {}, None]


def test_a_file_that_is_no_image_is_refused_in_words(page, tmp_path):
    (tmp_path / "own.svg").write_text("<svg/>")
    assert "own.svg; mend or remove" in str(ask(page, "swap", upload(page, tmp_path / "own.svg"), [0]))


def test_nothing_is_loaded_from_elsewhere(page):
    text = get(page)
    assert "fonts.googleapis" not in text
    assert 'src="http' not in text


def test_other_hosts_and_other_pages_are_refused(page, tmp_path):
    (tmp_path / "own.png").write_text("an image")
    assert status(page, {}) == 200
    assert status(page, {"Host": "evil.example"}) == 400
    assert status(page, {"Origin": "http://evil.example"}) == 403
    assert status(page, {"Origin": "null"}) == 403
    assert status(page, {"Origin": page.removesuffix("/")}) == 200


def status(address, headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    ("host", "asked", "code"), [("0.0.0.0", "any.example", 200), ("own.example", "own.example", 200)]
)
def test_the_host_that_is_served(host, asked, code):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    async def answer(request):
        return PlainTextResponse("yes")

    app = Starlette(routes=[Route("/", answer)], middleware=own_page_only(host))
    assert TestClient(app, base_url=f"http://{asked}").get("/").status_code == code


def test_a_request_to_end_and_ctrl_c_before_the_page_is_open(monkeypatch, capsys):
    before = signal.getsignal(signal.SIGTERM)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
    monkeypatch.setattr(app, "check_address", lambda host, port: None)
    for number in (signal.SIGTERM, signal.SIGINT):
        monkeypatch.setattr(
            "unbraid.explore.explorer.open_run", lambda folder, number=number: signal.raise_signal(number)
        )
        assert cli.main(["explore", "runs/x"]) == 0
        assert capsys.readouterr() == ("", "")
        assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGINT, interrupt)


def test_the_command_ends_with_ctrl_c(monkeypatch, capsys):
    @contextmanager
    def serve(explorer, host, port):
        yield f"http://{host}:{port}/"

    monkeypatch.setattr(app, "check_address", lambda host, port: None)
    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr("unbraid.explore.explorer.open_run", lambda folder: None)
    monkeypatch.setattr("time.sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["explore", "runs/x"]) == 0
    assert capsys.readouterr().out.startswith("http://127.0.0.1:7860/ is open")
