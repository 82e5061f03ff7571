"""The server: the loopback alone, a policy on every answer, and nothing but the pages."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.farm.dashboard.errors import PortTaken
from device_agents.farm.dashboard.server import PORT, Server, open_server


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """A server of a small folder, beside which lies a secret."""
    folder = tmp_path / "dashboard"
    (folder / "samples").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>ours</title>")
    (folder / ".lock").write_text("hidden")
    (folder / "samples/a.json.gz").write_bytes(gzip.compress(b'{"a": 1}'))
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "way-out").symlink_to(tmp_path)
    with open_server(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _get(server: Server, path: str, method: str = "GET", host: str = "") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def test_server_listens_on_the_loopback_and_shows_the_index(served: Server) -> None:
    assert served.server_address[0] == "127.0.0.1"
    status, headers, content = _get(served, "/")
    assert status == 200 and b"ours" in content
    assert headers["content-type"].startswith("text/html")
    assert served.url == f"http://127.0.0.1:{served.server_port}/"


@pytest.mark.parametrize("path", ["/", "/index.html", "/nothing.html", "/samples/"])
def test_server_sends_a_policy_without_scripts_with_every_answer(served: Server, path: str) -> None:
    _, headers, _ = _get(served, path)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script" not in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/samples/",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/way-out/secret.txt",
        "/.lock",
        "/%2elock",
        "/samples/..%2f..%2fsecret.txt",
        "//secret.txt",
    ],
)
def test_server_gives_nothing_but_pages(served: Server, path: str) -> None:
    status, _, content = _get(served, path)
    assert status == 404
    assert b"secret" not in content.replace(path.encode(), b"") and b"hidden" not in content


def test_server_answers_no_foreign_name_and_no_other_method(served: Server) -> None:
    assert _get(served, "/", host="evil.example")[0] == 403
    assert _get(served, "/", host=f"localhost:{served.server_port}")[0] == 200
    assert _get(served, "/", "POST")[0] == 501
    assert _get(served, "/", "HEAD")[2] == b""


def test_server_shows_samples_as_json(served: Server) -> None:
    status, headers, content = _get(served, "/samples/a.json.gz")
    assert status == 200 and headers["content-type"] == "application/json" and headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(content)) == {"a": 1}
    assert "content-encoding" not in _get(served, "/samples/no.json.gz")[1]


def test_open_server_says_that_a_port_is_taken(served: Server, tmp_path: Path) -> None:
    with pytest.raises(PortTaken) as caught:
        open_server(tmp_path, served.server_port)
    assert "./inv dashboard --serve" in str(caught.value)
    with pytest.raises(PortTaken):
        open_server(tmp_path, 70_000)


def test_open_server_takes_a_free_port_where_its_own_is_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", PORT))
            other.listen()
        except OSError:
            pass  # somebody else has it already, which does as well
        with open_server(tmp_path) as server:
            assert server.server_port not in (0, PORT)
