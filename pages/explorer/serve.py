"""The server of the explorer: marimo's app on this machine, behind a guard; and the notebook that a user may change.

marimo answers every request, even one from a page of another site in the same browser, and its pages could load
addresses that a text of the store contains. The guard prevents both: a request must name the served host and come from
a page of it, and a content security policy forbids the browser to load anything from other hosts.
"""

from __future__ import annotations

import asyncio
import errno
import runpy
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

Asgi = Callable[[Any, Any, Any], Awaitable[None]]

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""The policy allows inline scripts, which marimo's pages have, and eval, with which Vega compiles expressions; neither
contains texts of the store."""
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_STORE = 'STORE = "lab"'


def notebook(store: str | Path) -> str:
    """Return the explorer of a store as a marimo notebook: a plain Python file."""
    text = files("molbuffer.pages.explorer").joinpath("app.py").read_text(encoding="utf-8")
    before, found, after = text.partition(_STORE)
    assert found, f"app.py has no line {_STORE}"
    return f"{before}STORE = {str(store)!r}{after}"


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def explore(
    store: Path, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None, ready: Callable[[str], None]
) -> None:
    """Serve the explorer of a store until the process is interrupted.

    Args:
        store: the folder of the store, or an archive.
        host: the address to listen at.
        port: the port; 0 is a free one.
        token: the token that a reader must present; None requires none.
        ready: called with the URL once it can be opened.

    Raises:
        ModuleNotFoundError: marimo is not installed.
        AddressError: the address is not one of this machine, or the port is in use or not allowed.
    """
    import uvicorn
    from marimo import create_asgi_app

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening, tempfile.TemporaryDirectory(prefix="molbuffer-explore-") as folder:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise AddressError(_why_not(host, port, error)) from error
        listening.listen()
        file = Path(folder) / "explorer.py"
        file.write_text(notebook(store.absolute()), encoding="utf-8")
        app = create_asgi_app(quiet=True, token=token).with_app(path="", root=str(file)).build()
        config = uvicorn.Config(
            guarded(app, host), log_level="error", timeout_graceful_shutdown=1, ws_ping_interval=5, ws_ping_timeout=60
        )
        query = "" if token is None else f"?access_token={quote(token)}"
        ready(f"http://{_name_of(host)}:{listening.getsockname()[1]}/{query}")
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            asyncio.run(_end_sessions(app))


class AddressError(Exception):
    """The explorer cannot be served at an address."""


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port {port} is in use by another program: name another port, or --port 0 for a free one"
    if error.errno == errno.EACCES:
        return f"--port {port} is only for the administrator: name a port above 1023, or --port 0 for a free one"
    return f"--host {host} is not an address of this machine: {error.strerror or error}"


async def _end_sessions(app: Any) -> None:
    """End marimo's session of each window, for which the process would otherwise wait for ever."""
    for route in app.routes:
        manager = getattr(getattr(getattr(route, "app", None), "state", None), "session_manager", None)
        if manager is not None:
            await manager.shutdown()


def _name_of(host: str) -> str:
    """Return the host name of an address for a URL; for the address of all networks, the name of this machine."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not listened at)
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def edit(file: Path, *, host: str, port: int, token: str | None, headless: bool) -> None:
    """Open a notebook in marimo's editor, which always requires a token, until the process is interrupted.

    Raises:
        SystemExit: marimo has ended the process.
    """
    # marimo runs in this process: the arguments of another one, with the token, would be visible to all users.
    words = ["marimo", "--yes", "edit", str(file), "--host", host, "--skip-update-check"]
    words += ["--port", str(port)] if port else []
    words += ["--token-password", token] if token is not None else []
    words += ["--headless"] if headless else []
    sys.argv = words
    runpy.run_module("marimo", run_name="__main__")


def guarded(app: Asgi, host: str) -> Asgi:
    """Return an app that answers only requests of its own pages, and forbids these to load from other hosts.

    Args:
        app: the app.
        host: the address that it listens at. On loopback, requests must name a loopback host, so that another site
            whose name resolves to this machine is refused. Elsewhere the machine may have any name, and a token is
            required anyway.
    """

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        named, origin = headers.get("host", ""), headers.get("origin")
        strange = is_loopback(host) and not is_loopback(urlsplit(f"//{named}").hostname or "")
        if strange or (origin is not None and urlsplit(origin).netloc != named):
            await _refuse(scope, send)
            return

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
            await send(message)

        await app(scope, receive, send_with_policy)

    return answer


async def _refuse(scope: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "not from a page of this server"})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"refused: this request is not from a page of this server\n"})
