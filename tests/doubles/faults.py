"""A link that fails as asked: a TCP proxy on the loopback before a device's server. Needs no root.

    with FaultLink(double.port) as link, SshConnection.open(double.entry(port=link.port)) as connection:
        link.at_byte(link.sent + 8_000_000, link.freeze)

- `delay_s`, `rate`: each way, a delay and bytes a second; to be set at any time.
- `loss`: the share of pieces that have to be sent again. TCP shows it as a stall of 0.2 s, and all behind it waits.
- `freeze()`: nothing goes through, and the sender's window fills: a frozen peer. `thaw()`: it goes on, nothing is lost.
- `black_hole()`: what is sent vanishes, new connections are taken and hear nothing: a network that drops packets.
- `cut()`: connections end, with a FIN or, by `reset=True`, with a RST; new ones are served.
- `refuse()`: nobody listens any more: a device that is off. `heal()`: all is well again for new connections.

A fault comes when the test says so, `at_byte` of what was sent to the server, or `later`, after some seconds.
"""

from __future__ import annotations

import queue
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

_CHUNK = 16384
_STALL_S = 0.2
"""Linux's least time before it sends again what was not acknowledged."""
_AHEAD = 16
"""Pieces under way in one direction: a slow link has little room, and its sender's window fills."""
_LOOK_S = 0.2
"""How long a thread that waits for a socket takes to see that its connection was ended."""

Action = Callable[[], None]


class FaultLink:
    """Stands before `port`; its own `port` is where to connect to. `sent` counts the bytes from the client to the
    server, over all connections. What a black hole swallowed is gone, so `heal` resets the connections it had."""

    def __init__(
        self, port: int, *, delay_s: float = 0.0, rate: float | None = None, loss: float = 0.0, seed: int = 0
    ) -> None:
        self.delay_s, self.rate, self.loss = delay_s, rate, loss
        self.sent = 0
        self._target = port
        self._dice = random.Random(seed)
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._flows = threading.Event()
        self._flows.set()
        self._swallows = False
        self._pairs: set[_Pair] = set()
        self._due: list[tuple[int, Action]] = []
        self._timers: list[threading.Timer] = []
        self._lock = threading.RLock()

    def __enter__(self) -> FaultLink:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        self.refuse()
        self._flows.set()

    def freeze(self) -> None:
        """Nothing goes through any more, and nobody is told."""
        self._flows.clear()

    def thaw(self) -> None:
        """What was held back goes on."""
        self._flows.set()

    def black_hole(self) -> None:
        """What is sent from now on is lost, also what new connections send."""
        self._swallows = True

    def cut(self, reset: bool = False) -> None:
        """Ends every connection at once; new ones are served."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.end(reset)

    def refuse(self) -> None:
        """Resets every connection and listens no more."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut(reset=True)

    def heal(self) -> None:
        """No fault any more, at the same port."""
        self.delay_s, self.rate, self.loss = 0.0, None, 0.0
        if self._swallows:
            self.cut(reset=True)
            self._swallows = False
        self._flows.set()
        with self._lock:
            closed = self._listener is None
            if closed:
                self._listener = socket.create_server(("127.0.0.1", self.port))
        if closed:
            self._listen()

    def at_byte(self, count: int, action: Action) -> None:
        """`action` as soon as so many bytes have been sent in all, before the piece that reaches it is handed over."""
        with self._lock:
            self._due.append((count, action))

    def later(self, seconds: float, action: Action) -> None:
        """`action` after so many seconds; never once the link's block has ended."""
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                pair = _Pair(listener.accept()[0])
            except OSError:
                return
            with self._lock:
                if self._listener is not listener:  # it was told to refuse while this one came
                    pair.end(reset=True)
                    return
                self._pairs.add(pair)
            threading.Thread(target=self._serve, args=(pair,), daemon=True).start()

    def _serve(self, pair: _Pair) -> None:
        # Whoever is behind a frozen link or a black hole doesn't answer.
        self._flows.wait()
        if not self._swallows:
            try:
                pair.connect(self._target)
            except OSError:
                pair.end(reset=False)
                return
        for up in (True, False):
            threading.Thread(target=self._carry, args=(pair, up), daemon=True).start()

    def _carry(self, pair: _Pair, up: bool) -> None:
        """One direction: reads for as long as the link takes anything, and has it handed over when it is due."""
        source, target = (pair.client, pair.server) if up else (pair.server, pair.client)
        if source is None:
            return
        under_way: queue.Queue[tuple[float, bytes]] = queue.Queue(_AHEAD)
        threading.Thread(target=self._deliver, args=(pair, target, under_way), daemon=True).start()
        free_at, data = 0.0, b"-"
        while data:
            data = pair.read(source)
            if up:
                self._count(len(data))
            self._flows.wait()
            if pair.over.is_set():
                data = b""
            elif self._swallows:
                continue
            busy = self._busy_s(len(data))
            free_at = max(free_at, time.monotonic()) + busy
            under_way.put((free_at + self.delay_s, data))

    def _deliver(self, pair: _Pair, target: socket.socket | None, under_way: queue.Queue[tuple[float, bytes]]) -> None:
        """Hands pieces over in their order, each when it is due; the empty one is the connection's end."""
        while True:
            due, data = under_way.get()
            pair.over.wait(max(0.0, due - time.monotonic()))
            self._flows.wait()
            if not data or target is None:
                pair.end(reset=False)
                return
            if not self._swallows:
                pair.write(target, data)

    def _count(self, size: int) -> None:
        with self._lock:
            self.sent += size
            due = [action for place, action in self._due if place <= self.sent]
            self._due = [one for one in self._due if one[0] > self.sent]
        for action in due:
            action()

    def _busy_s(self, size: int) -> float:
        """For how long a piece takes up the link."""
        with self._lock:
            lost = self.loss > 0 and self._dice.random() < self.loss
        return (size / self.rate if self.rate else 0.0) + (_STALL_S if lost else 0.0)


class _Pair:
    """A client's connection and the one to the server; server: None where a black hole took it. over: it has ended."""

    def __init__(self, client: socket.socket) -> None:
        client.settimeout(_LOOK_S)
        self.client = client
        self.server: socket.socket | None = None
        self.over = threading.Event()
        self._lock = threading.Lock()

    def connect(self, port: int) -> None:
        """Raises OSError."""
        self.server = socket.create_connection(("127.0.0.1", port))
        self.server.settimeout(_LOOK_S)

    def read(self, source: socket.socket) -> bytes:
        """What comes next; empty at the end."""
        while not self.over.is_set():
            try:
                return source.recv(_CHUNK)
            except TimeoutError:
                continue
            except OSError:
                break
        return b""

    def write(self, target: socket.socket, data: bytes) -> None:
        """Sends all of it, or what can be sent before the connection ends."""
        rest = memoryview(data)
        while rest and not self.over.is_set():
            try:
                rest = rest[target.send(rest) :]
            except TimeoutError:
                continue
            except OSError:
                return

    def end(self, reset: bool) -> None:
        """Tells both ends, by a RST or else by a FIN; the first who says so decides which."""
        with self._lock:
            if self.over.is_set():
                return
            self.over.set()
        for end in filter(None, (self.client, self.server)):
            with suppress(OSError):
                if reset:
                    # Closed with no time to linger it resets; a thread that still reads it is woken first, silently.
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RD)
                else:
                    end.shutdown(socket.SHUT_RDWR)
            end.close()
