"""A picture of a report, for the README: `python tests/bench/screenshot.py REPORT.html OUT.png [--dark]`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """A headless-capable browser on PATH."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def flags(profile: str) -> list[str]:
    """What keeps a headless browser silent on the network and alive without a GPU or a sandbox of its own."""
    return [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
    ]


def shoot(page: Path, picture: Path, width: int, height: int, dark: bool, scale: float) -> None:
    """Renders `page` into the PNG `picture`. Raises OSError, subprocess.SubprocessError or RuntimeError."""
    browser = chromium()
    if browser is None:
        raise RuntimeError("no Chromium on PATH: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser,
            *flags(profile),
            f"--window-size={width},{height}",
            f"--force-device-scale-factor={scale}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--screenshot={picture.resolve()}",
            page.resolve().as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    if not picture.is_file():
        raise RuntimeError(f"Chromium wrote no picture to {picture}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=1500)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args(arguments)
    if not given.report.is_file():
        print(f"There is no report {given.report}\n  next:  ./inv deploy writes one", file=sys.stderr)
        return 1
    try:
        shoot(given.report, given.picture, given.width, given.height, given.dark, given.scale)
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
