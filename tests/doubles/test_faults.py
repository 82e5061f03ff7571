"""The fault link, before a small echo server: each fault is what it says, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.doubles.faults import FaultLink


class Echo:
    """Sends back what it gets. received: in all; connections: that it was asked for."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.received = b""
        self.connections = 0

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while data := connection.recv(65536):
                self.received += data
                connection.sendall(data)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    threading.Thread(target=server.serve, daemon=True).start()
    yield server
    server.close()


@pytest.fixture
def link(echo: Echo) -> Iterator[FaultLink]:
    with FaultLink(echo.port) as found:
        yield found


def _client(link: FaultLink, timeout: float = 20.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=timeout)


def _all(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = client.recv(65536)
        assert data, f"it ended after {len(found)} of {size} bytes"
        found += data
    return found


def _silent(client: socket.socket, seconds: float = 0.3) -> bool:
    """Whether nothing comes for so long."""
    client.settimeout(seconds)
    try:
        return client.recv(1) is None
    except TimeoutError:
        return True
    finally:
        client.settimeout(20)


def test_sound_link_carries_all_both_ways_and_counts(link: FaultLink) -> None:
    data = bytes(range(256)) * 4000
    with _client(link) as client:
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        assert _all(client, len(data)) == data
    assert link.sent == len(data)


def test_end_of_one_side_reaches_the_other(link: FaultLink) -> None:
    with _client(link) as client:
        client.sendall(b"last words")
        assert _all(client, 10) == b"last words"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_delay_is_added_each_way(link: FaultLink) -> None:
    link.delay_s = 0.1
    with _client(link) as client:
        began = time.monotonic()
        client.sendall(b"x")
        assert _all(client, 1) == b"x"
        assert time.monotonic() - began >= 0.2


def test_rate_holds_a_transfer_to_it(link: FaultLink) -> None:
    link.rate = 400_000
    data = bytes(120_000)
    with _client(link) as client:
        began = time.monotonic()
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        _all(client, len(data))
        assert time.monotonic() - began >= 0.3


def test_loss_is_a_stall_and_loses_nothing(link: FaultLink) -> None:
    link.loss = 1.0
    with _client(link) as client:
        began = time.monotonic()
        client.sendall(b"x")
        assert _all(client, 1) == b"x"
        assert time.monotonic() - began >= 0.4  # once each way


def test_frozen_link_fills_its_senders_window_and_thaws_with_nothing_lost(link: FaultLink, echo: Echo) -> None:
    data = bytes(range(256)) * 80_000
    with _client(link) as client:
        link.freeze()
        sender = threading.Thread(target=client.sendall, args=(data,), daemon=True)
        sender.start()
        assert _silent(client)
        assert sender.is_alive(), "all of it was taken: the peer is no frozen one"
        assert not echo.received
        link.thaw()
        assert _all(client, len(data)) == data


def test_frozen_link_takes_new_connections_and_says_nothing(link: FaultLink, echo: Echo) -> None:
    link.freeze()
    with _client(link) as client:
        client.sendall(b"anyone?")
        assert _silent(client)
        assert echo.connections == 0
        link.thaw()
        assert _all(client, 7) == b"anyone?"


def test_black_hole_swallows_what_old_and_new_connections_send(link: FaultLink, echo: Echo) -> None:
    with _client(link) as old:
        old.sendall(b"before")
        assert _all(old, 6) == b"before"
        link.black_hole()
        with _client(link) as new:
            for client in (old, new):
                client.sendall(bytes(5_000_000))  # its sender is none the wiser
                assert _silent(client)
        assert (echo.received, echo.connections) == (b"before", 1)


def test_healed_black_hole_resets_what_it_swallowed_from_and_serves_new_connections(link: FaultLink) -> None:
    with _client(link) as old:
        old.sendall(b"x")
        _all(old, 1)
        link.black_hole()
        old.sendall(b"lost")
        link.heal()
        with pytest.raises(ConnectionResetError):
            old.recv(1)
        with _client(link) as new:
            new.sendall(b"y")
            assert _all(new, 1) == b"y"


@pytest.mark.parametrize("reset", [False, True])
def test_cut_is_a_fin_or_a_reset_and_new_connections_are_served(link: FaultLink, reset: bool) -> None:
    with _client(link) as client:
        client.sendall(b"x")
        _all(client, 1)
        link.cut(reset)
        if reset:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        else:
            assert client.recv(1) == b""
    with _client(link) as client:
        client.sendall(b"y")
        assert _all(client, 1) == b"y"


def test_frozen_link_can_be_cut(link: FaultLink) -> None:
    with _client(link) as client:
        client.sendall(b"x")
        _all(client, 1)
        link.freeze()
        link.cut()
        assert client.recv(1) == b""


def test_refusing_link_is_a_device_that_is_off_until_it_heals(link: FaultLink) -> None:
    with _client(link) as client:
        client.sendall(b"x")
        _all(client, 1)
        link.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        _client(link)
    link.heal()
    with _client(link) as client:
        client.sendall(b"y")
        assert _all(client, 1) == b"y"


def test_fault_comes_at_the_byte_that_was_said(link: FaultLink, echo: Echo) -> None:
    link.at_byte(500_000, link.cut)
    with _client(link) as client:
        with suppress(OSError):
            client.sendall(bytes(2_000_000))
        with suppress(OSError):
            while client.recv(65536):
                pass
    assert len(echo.received) < 500_000
    assert 500_000 <= link.sent < 600_000


def test_fault_comes_after_the_time_that_was_said(link: FaultLink) -> None:
    link.later(0.2, link.cut)
    with _client(link) as client:
        began = time.monotonic()
        assert client.recv(1) == b""
        assert time.monotonic() - began >= 0.15


def test_server_that_is_not_there_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = int(closed.getsockname()[1])
    with FaultLink(port) as link, _client(link) as client:
        assert client.recv(1) == b""


def test_end_of_the_block_ends_everything(echo: Echo) -> None:
    with FaultLink(echo.port) as link:
        client = _client(link)
        client.sendall(b"x")
        _all(client, 1)
        link.freeze()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    client.close()
    with pytest.raises(ConnectionRefusedError):
        _client(link)
