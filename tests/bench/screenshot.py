"""Opens a report in a headless Chromium: `python tests/bench/screenshot.py REPORT.html OUT.png [--dark] [--width W]`.

The browser is driven over its debugging pipe, so tests can also ask it what the page requested, said and laid out.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    # The browser has errands of its own; none of them leaves this machine.
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
# The pipe is descriptors 3 and 4 of the browser: only a process of its own can put them there safely.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for number, end in zip((3, 4), ends):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class BrowserFailed(RuntimeError):
    """The browser is missing, ended, or did not answer."""


def chromium() -> str | None:
    """The path of a Chromium that can be driven."""
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


class Browser:
    """One page of a headless browser. `events` holds what it told so far: (method, parameters)."""

    def __init__(self, requests: int, answers: int, timeout: float) -> None:
        self._requests, self._answers, self._timeout = requests, answers, timeout
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its result. Raises BrowserFailed."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._requests, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise BrowserFailed(f"{method}: {answer['error'].get('message')}")
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path, width: int = 1200, height: int = 900, dark: bool = False, scale: float = 1.0) -> None:
        """Loads a file and waits until it is there."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=page.resolve().as_uri())
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._next()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, clip: dict[str, float] | None = None) -> bytes:
        """The whole page, or a part of it (x, y, width, height, scale), as PNG."""
        part = {"clip": clip} if clip else {}
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True, **part)["data"])

    def _next(self) -> dict[str, Any]:
        """The next message; events are kept."""
        until = time.monotonic() + self._timeout
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(self._answers, 1 << 20) if ready else b""
            if not chunk:
                raise BrowserFailed("the browser ended" if ready else f"no answer in {self._timeout:.0f} s")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append((message["method"], message.get("params", {})))
        return message


@contextmanager
def browser(timeout: float = 60.0) -> Iterator[Browser]:
    """A browser with a profile of its own; ended and removed afterwards. Raises BrowserFailed."""
    program = chromium()
    if program is None:
        raise BrowserFailed("no Chromium on PATH: apt-get install chromium")
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            sys.executable,
            "-c",
            _LAUNCH,
            str(theirs_in),
            str(theirs_out),
            program,
            *_FLAGS,
            f"--user-data-dir={profile}",
        ]
        process = subprocess.Popen(
            command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(ours_out, ours_in, timeout)
        finally:
            # With its pipe closed the browser ends with all its helpers; kill is for one that hangs.
            os.close(ours_out)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(ours_in)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1120)
    parser.add_argument("--height", type=int, help="pixels from the top; the whole page if left out")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args(arguments)
    if not given.report.is_file():
        print(f"There is no report {given.report}\n  next:  ./inv deploy writes one", file=sys.stderr)
        return 1
    try:
        with browser() as page:
            page.open(given.report, given.width, given.height or 900, given.dark, given.scale)
            clip = {"x": 0, "y": 0, "width": given.width, "height": given.height, "scale": 1} if given.height else None
            data = page.picture(clip)
        given.picture.write_bytes(data)
    except (OSError, BrowserFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
