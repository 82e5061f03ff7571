"""Shows the dashboard in a browser: read-only, on the loopback alone, with a policy that lets no page run or load
anything of others."""

from __future__ import annotations

from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from device_agents.farm.dashboard.errors import PortTaken

LOOPBACK = "127.0.0.1"
PORT = 8000
"""Taken where it is free and no other was asked for."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_SAMPLES = ".json.gz"


class Server(ThreadingHTTPServer):
    """Serves one folder; `serve_forever` until Ctrl-C."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder.resolve()
        super().__init__((LOOPBACK, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is nothing to tell of."""

    @property
    def url(self) -> str:
        """What to type into a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/"


def open_server(folder: Path, port: int | None = None) -> Server:
    """Listens on the loopback. port: None for 8000 or, where that is taken, any free one; 0 for any. Raises
    PortTaken."""
    try:
        return Server(folder, PORT if port is None else port)
    except (OSError, OverflowError) as error:
        if port is None:
            return Server(folder, 0)
        raise PortTaken(
            f"The port {port} can't be had: {getattr(error, 'strerror', None) or error}",
            where=LOOPBACK,
            remedy="./inv dashboard --serve takes a free one",
        ) from error


class _Handler(SimpleHTTPRequestHandler):
    server: Server
    _status = HTTPStatus.OK

    def __init__(self, request: Any, address: Any, server: Server) -> None:
        super().__init__(request, address, server, directory=str(server.folder))

    def send_head(self) -> Any:
        """A page, or nothing: no listing, no hidden file, nothing outside of the folder, no name but the loopback's."""
        # A site that lets its own name resolve to the loopback must not read what is served there.
        if (self.headers.get("Host") or "").partition(":")[0] not in (
            LOOPBACK,
            "localhost",
        ):  # any port: one may forward it
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        try:
            path = Path(self.translate_path(self.path)).resolve()
            hidden = any(part.startswith(".") for part in unquote(urlsplit(self.path).path).split("/"))
        except ValueError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        if hidden or not path.is_relative_to(self.server.folder):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        """A folder without a page of its own shows nothing."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def guess_type(self, path: Any) -> str:
        """Samples are JSON that travels compressed: a browser shows it."""
        return "application/json" if str(path).endswith(_SAMPLES) else super().guess_type(path)

    def send_response(self, code: int, message: str | None = None) -> None:
        self._status = HTTPStatus(code)
        super().send_response(code, message)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self._status == HTTPStatus.OK and urlsplit(self.path).path.endswith(_SAMPLES):
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is said of every page that is looked at."""
