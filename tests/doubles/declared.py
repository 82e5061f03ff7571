"""Doubles that a person starts by hand: each has its table in farm.toml while it runs, beside those of others."""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_MARK = "# Written by tests.doubles: doubles that run now. A table goes when its double ends.\n"
_OF = "# of process "
_TABLE = re.compile(rf"^{_OF}(?P<pid>\d+)\n\[devices\.(?P<name>[^]]+)\]\n(?:(?!{_OF}).*\n)*", re.MULTILINE)


def options(
    module: str, about: str | None, *, like: Sequence[str] = (), target: str | None = None, name: str | None = None
) -> argparse.Namespace:
    """What was typed to a double's module: farm, count, name, target, and like where there is a choice of boards."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.doubles.{module}", description=about)
    parser.add_argument("--farm", type=Path, default=Path("farm.toml"), help="the farm file that it is declared in")
    parser.add_argument("--count", type=int, default=1, help="how many; they are called NAME-1 and on")
    parser.add_argument("--name", default=name, help="the device's name")
    parser.add_argument("--target", default=target, help="the kind of device that it stands for")
    if like:
        parser.add_argument("--like", default=like[0], choices=like, help="the board that it stands for")
    return parser.parse_args()


def numbered(name: str, count: int) -> list[str]:
    """What `count` doubles are called: name itself, or name-1 and on."""
    return [name] if count == 1 else [f"{name}-{number + 1}" for number in range(count)]


def until_stopped(main: Callable[[], int]) -> int:
    """main's exit status; 0 where Ctrl-C ended it, or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        return main()
    except KeyboardInterrupt:
        return 0


def serve(farm: Path, tables: Mapping[str, str], up: str, target: str) -> int:
    """Declares running doubles in farm.toml until the process is stopped; 1 where it can't. up: what they are."""
    try:
        with declared(farm, tables):
            print(f"{', '.join(tables)} {'is' if len(tables) == 1 else 'are'} up: {up}, declared in {farm}", flush=True)
            print("in another terminal:  ./inv deploy --target", target, "   (Ctrl-C here ends it)", flush=True)
            while True:
                time.sleep(3600)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


@contextmanager
def declared(farm: Path, tables: Mapping[str, str]) -> Iterator[None]:
    """tables, by device, stand in the file meanwhile.

    Raises ValueError where a name is taken, or the file is a person's.
    """
    with _held(farm):
        others = _others(farm)
        if taken := sorted(set(others) & set(tables)):
            raise ValueError(f"{farm} has a device {taken[0]} already; give another name with --name")
        own = {name: f"{_OF}{os.getpid()}\n{table.rstrip()}\n" for name, table in tables.items()}
        farm.write_text(_MARK + "".join([*others.values(), *own.values()]))
    try:
        yield
    finally:
        with _held(farm):
            others = {name: table for name, table in _others(farm).items() if name not in tables}
            if others:
                farm.write_text(_MARK + "".join(others.values()))
            else:
                farm.unlink(missing_ok=True)


def _others(farm: Path) -> dict[str, str]:
    """The doubles in the file whose processes live; one that was killed can't take its table away itself."""
    if not farm.exists():
        return {}
    text = farm.read_text()
    if not text.startswith(_MARK):
        raise ValueError(f"{farm} is there already; give another file with --farm")
    found = list(_TABLE.finditer(text))
    return {one["name"]: one[0] for one in found if int(one["pid"]) == os.getpid() or _lives(int(one["pid"]))}


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _held(farm: Path) -> Iterator[None]:
    """One double at a time reads and writes the file."""
    folder = os.open(farm.absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
