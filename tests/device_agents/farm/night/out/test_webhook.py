"""The webhook, against a real HTTP server on the loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from device_agents.farm.night.out.webhook import MOST, SIGNATURE, payload, send, where
from tests.device_agents.farm.night.out.nights import hostile, job, night, troubled, verdict

SECRET = "T0ps3cret"


class Receiver:
    """Keeps what it is sent and answers with the next of `statuses`, the last one for ever."""

    def __init__(self, *statuses: int, location: str = "") -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
                receiver.paths.append(self.path)
                self.send_response(statuses[min(len(receiver.bodies), len(statuses)) - 1])
                if location:
                    self.send_header("Location", location)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *given: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def sleep(pauses: list[float]) -> Callable[[float], None]:
    return pauses.append


def test_night_arrives_as_json_with_its_verdicts(sleep: Callable[[float], None]) -> None:
    with Receiver(200) as receiver:
        assert send(troubled(), f"{receiver.url}/hook", link="https://ci.example/7", sleep=sleep) is None
    (body,) = receiver.bodies
    told = json.loads(body)
    assert told["schema"] == "edgewright-webhook/1"
    assert (told["status"], told["link"]) == (1, "https://ci.example/7")
    assert [one["regression"] for one in told["verdicts"]] == [True, False, False]
    assert told["verdicts"][0]["reason"] == "25.0 % slower: the model changed"
    assert told["counts"] == {"slower": 2, "undecided": 1, "same": 1}
    assert [one["what"] for one in told["not_measured"]] == ["build", "failed", "device"]
    assert receiver.headers[0]["content-type"] == "application/json"
    assert SIGNATURE.lower() not in receiver.headers[0]


def test_body_is_signed_where_there_is_a_key(sleep: Callable[[float], None]) -> None:
    with Receiver(204) as receiver:
        assert send(night(), receiver.url, key=SECRET, sleep=sleep) is None
    signed = "sha256=" + hmac.new(SECRET.encode(), receiver.bodies[0], hashlib.sha256).hexdigest()
    assert receiver.headers[0][SIGNATURE.lower()] == signed


def test_server_error_is_tried_again_with_growing_pauses(sleep: Callable[[float], None], pauses: list[float]) -> None:
    with Receiver(503, 500, 200) as receiver:
        assert send(night(), receiver.url, sleep=sleep) is None
    assert len(receiver.bodies) == 3
    assert len(set(receiver.bodies)) == 1
    assert pauses == sorted(pauses) and len(set(pauses)) == 2


def test_server_that_stays_in_error_is_a_warning_without_the_secret(sleep: Callable[[float], None]) -> None:
    with Receiver(500) as receiver:
        said = send(night(), f"{receiver.url}/services/{SECRET}?token={SECRET}", sleep=sleep)
    assert len(receiver.bodies) == 3
    assert said == "the webhook at http://127.0.0.1 was not told: it answered 500"


def test_refusal_is_not_tried_again(sleep: Callable[[float], None], pauses: list[float]) -> None:
    with Receiver(403) as receiver:
        said = send(night(), receiver.url, sleep=sleep)
    assert said is not None and "403" in said
    assert pauses == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(status: int, sleep: Callable[[float], None]) -> None:
    with Receiver(200) as elsewhere, Receiver(status, location=f"{elsewhere.url}/{SECRET}") as receiver:
        said = send(night(), receiver.url, sleep=sleep)
    assert said is not None and str(status) in said and SECRET not in said
    assert elsewhere.bodies == []


def test_nobody_there_is_a_warning_after_two_more_tries(sleep: Callable[[float], None], pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    said = send(night(), f"http://127.0.0.1:{port}/{SECRET}", sleep=sleep)
    assert said is not None and SECRET not in said and str(port) not in said
    assert len(pauses) == 2


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_server_that_says_nothing_times_out(silent: int, sleep: Callable[[float], None], pauses: list[float]) -> None:
    said = send(night(), f"http://127.0.0.1:{silent}/", sleep=sleep, timeout_s=0.05)
    assert said is not None and "timed out" in said
    assert len(pauses) == 2


def test_server_that_drips_is_not_waited_for(silent: int) -> None:
    began = time.monotonic()
    said = send(night(), f"http://127.0.0.1:{silent}/", timeout_s=30.0, limit_s=0.1)
    assert said is not None and "no answer" in said
    assert time.monotonic() - began < 25


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://h/T0ps3cret",
        "file:///T0ps3cret",
        "http://",
        "http://user:T0ps3cret@127.0.0.1/",
        "http://[T0ps3cret/",
        "http://127.0.0.1:T0ps3cret/",
        "http://127.0.0.1/T0ps3cret\r\nX: y",
        "http://ümlaut\ud800/T0ps3cret",
    ],
)
def test_address_that_is_none_is_a_warning_without_it(url: str, sleep: Callable[[float], None]) -> None:
    said = send(night(), url, sleep=sleep)
    assert said is not None and SECRET not in said


def test_only_scheme_and_host_of_an_address_are_shown() -> None:
    assert where(f"https://me:{SECRET}@hooks.example:8443/{SECRET}?k={SECRET}#{SECRET}") == "https://hooks.example"


def test_hostile_names_and_long_nights_stay_small_json() -> None:
    json.dumps(payload(hostile()), allow_nan=False)
    many = night(
        status=2,
        jobs=tuple(job(f"d{number}", "failed") for number in range(MOST + 3)),
        verdicts=tuple(verdict("undecided", device=f"d{number}") for number in range(MOST + 4)),
    )
    told = payload(many)
    assert (len(told["verdicts"]), len(told["not_measured"]), told["left_out"]) == (MOST, MOST, 7)
