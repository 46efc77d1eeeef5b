"""What the explorer's server answers, and the notebook that it serves, without a browser."""

import ast
import asyncio
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.pages import explorer
from molbuffer.pages.explorer.serve import guarded, is_loopback


def answer(host, headers, kind="http"):
    """The first message that a guarded app sends, and whether the app was asked."""
    asked, sent = [], []

    async def inner(scope, receive, send):
        asked.append(scope["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(guarded(inner, host)(scope, None, send))
    return sent[0] if sent else None, bool(asked)


@pytest.mark.parametrize(
    ("host", "headers", "served"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:80"}, True),
        ("127.0.0.1", {"host": "localhost:80", "origin": "http://localhost:80"}, True),
        ("::1", {"host": "[::1]:80", "origin": "http://[::1]:80"}, True),
        ("127.0.0.1", {"host": "127.0.0.1:80", "origin": "https://elsewhere.example"}, False),
        ("127.0.0.1", {"host": "127.0.0.1:80", "origin": "http://127.0.0.1:81"}, False),
        ("127.0.0.1", {"host": "127.0.0.1:80", "origin": "null"}, False),
        ("127.0.0.1", {"host": "elsewhere.example"}, False),
        ("127.0.0.1", {}, False),
        ("0.0.0.0", {"host": "machine:80", "origin": "http://machine:80"}, True),
        ("0.0.0.0", {"host": "machine:80", "origin": "http://elsewhere.example"}, False),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_only_pages_of_the_server_are_answered(host, headers, served, kind):
    message, asked = answer(host, headers, kind)
    assert asked == served
    if not served:
        assert message["type"] == "websocket.close" if kind == "websocket" else message["status"] == 403


def test_a_browser_is_told_to_load_nothing_from_elsewhere():
    message, _ = answer("127.0.0.1", {"host": "127.0.0.1:80"})
    policy = dict(message["headers"])[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'self';")
    sources = {word for part in policy.split(";") for word in part.split()[1:]}
    assert sources == {"'self'", "'unsafe-inline'", "'unsafe-eval'", "'none'", "blob:", "data:"}


def test_loopback_is_what_only_this_machine_reaches():
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.example", "")))


@pytest.mark.parametrize("store", ["lab", 'it\'s "here"\nimport os', "C:\\new\\x"])
def test_the_notebook_is_a_plain_python_file_of_the_store(store):
    tree = ast.parse(explorer.notebook(store))
    found = [
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STORE"
    ]
    assert found == [store]


def test_every_name_that_the_notebook_uses_is_there():
    tree = ast.parse(explorer.notebook("lab"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ex"
    }
    assert len(used) > 20 and used <= set(explorer.__all__)


def run(*words):
    return CliRunner().invoke(app, ["explore", *map(str, words)])


def test_what_is_wrong_is_said_before_anything_is_served(tmp_path, small_store, monkeypatch):
    assert "no store" in run("--store", tmp_path / "none").stderr
    assert "8 characters" in run("--store", small_store, "--token", "short").stderr
    assert "ends in .py" in run("--store", small_store, "--edit", tmp_path / "mine.txt").stderr
    assert "no folder" in run("--store", small_store, "--edit", tmp_path / "none" / "mine.py").stderr
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    missing = run("--store", small_store)
    assert missing.exit_code == 1 and "pip install 'molbuffer[explore]'" in missing.stderr


def test_beyond_loopback_a_token_is_made_and_said(small_store, monkeypatch):
    served = {}

    def serve(store, *, ready, **named):
        served.update(named)
        ready("http://there")

    monkeypatch.setattr(explorer, "explore", serve)
    run("--store", small_store)
    assert (served["host"], served["token"]) == ("127.0.0.1", None)
    said = run("--store", small_store, "--host", "0.0.0.0")
    assert len(served["token"]) > 15 and "has the token can read the store" in said.stderr
    run("--store", small_store, "--host", "0.0.0.0", "--token", "mine-is-long")
    assert served["token"] == "mine-is-long"


def test_an_address_that_cannot_be_listened_at_says_what_to_do(small_store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run("--store", small_store, "--port", port)
    assert said.exit_code == 1 and f"--port {port} is in use" in said.stderr and "--port 0" in said.stderr
    said = run("--store", small_store, "--host", "300.1.1.1", "--token", "mine-is-long")
    assert said.exit_code == 1 and said.stderr.startswith("error: --host 300.1.1.1 is not an address of this machine")


def test_edit_writes_a_notebook_of_ones_own_and_never_over_one(tmp_path, small_store, monkeypatch):
    opened = []
    monkeypatch.setattr(explorer, "edit", lambda file, **named: opened.append((file, named)))
    mine = tmp_path / "mine.py"
    assert run("--store", small_store, "--edit", mine).exit_code == 0
    assert repr(str(Path(small_store).absolute())) in mine.read_text() and opened[0][0] == mine
    mine.write_text("# work of hours\n")
    assert "unchanged" in run("--store", small_store, "--edit", mine).stderr
    assert mine.read_text() == "# work of hours\n" and len(opened) == 2
