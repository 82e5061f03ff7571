"""The whole ledger as one file, and back: JSON lines, a report a line, or Parquet for those who analyse.

A file is written whole or not at all; of a file that is imported everything is taken, or nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from device_agents.farm.ledger.errors import BadExchangeFile, BadReport
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.ledger.rows import to_rows
from device_agents.farm.report import SCHEMA, Report
from edgewright.errors import BadArgument
from edgewright.files import canonical_json

Way = TypeVar("Way", bound=Callable[..., object])


@dataclass(frozen=True)
class Imported:
    """How many reports were new to the ledger, and how many it had."""

    new: int
    known: int


def export_ledger(ledger: Ledger, path: Path) -> int:
    """Writes every report into `path` (.jsonl or .parquet). Returns how many. Raises BadArgument, MissingExtra."""
    write = _form(path, _write_lines, _write_parquet)
    with _replacing(path) as temporary:
        return write(ledger, temporary)


def import_file(ledger: Ledger, path: Path) -> Imported:
    """Files every report of a file that `export_ledger` wrote; a single report's .json is read too.

    Raises BadExchangeFile (with the line), ReportConflict, BadArgument, MissingExtra; then nothing was filed.
    """
    read = _form(path, _read_lines, _read_parquet)
    count = 0

    def counted() -> Iterator[Report]:
        nonlocal count
        for report in read(path):
            count += 1
            yield report

    try:
        new = ledger.append_all(counted())
    except OSError as error:
        raise BadExchangeFile(
            f"The file can't be read: {error.strerror or error}", where=str(path), remedy="check the path"
        ) from error
    return Imported(new, count - new)


def check_report(report: Report, path: Path, place: str) -> Report:
    """The report, where its fields have the types of a report's. Raises BadExchangeFile; place: line or row."""
    for name, hint in get_type_hints(Report).items():
        if not _is(getattr(report, name), hint):
            raise refused(path, place, f"{name} has another type")
    try:
        to_rows(report)
    except BadReport as error:
        raise refused(path, place, error.what) from error
    return report


def _is(value: Any, hint: Any) -> bool:
    """Whether a value out of JSON has the type of a report's field. (pydantic takes no half of a surrogate pair.)"""
    inner = get_args(hint)
    if get_origin(hint) is UnionType:
        return any(_is(value, one) for one in inner)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_is(one, inner[0]) for one in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict)
    return type(value) in (int, float) if hint is float else type(value) is hint


def refused(path: Path, place: str, why: str) -> BadExchangeFile:
    """What to raise for a line or row that is no report."""
    return BadExchangeFile(
        f"This is no report: {why}. Nothing was imported.",
        where=f"{path}: {place}",
        remedy="export it again: ./inv ledger.export",
    )


def _form(path: Path, lines: Way, parquet: Way) -> Way:
    """The way of the two that a file's name asks for."""
    if path.suffix == ".parquet":
        return parquet
    if path.suffix in (".jsonl", ".json"):
        return lines
    raise BadArgument(
        f"{path.name!r} is no name of an exchange file.", where=str(path), remedy="end it in .jsonl or .parquet"
    )


def _write_lines(ledger: Ledger, path: Path) -> int:
    count = 0
    with path.open("wb") as stream:
        for report in ledger.every():
            stream.write(canonical_json(report.to_json()) + b"\n")
            count += 1
    return count


def _read_lines(path: Path) -> Iterator[Report]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            place = f"line {number}"
            try:
                given = json.loads(line)
                if not isinstance(given, dict) or given.pop("schema", None) != SCHEMA:
                    raise ValueError(f"its schema is not {SCHEMA}")
                report = Report(**given)
            except (ValueError, TypeError, RecursionError) as error:
                raise refused(path, place, str(error)) from error
            yield check_report(report, path, place)


def _write_parquet(ledger: Ledger, path: Path) -> int:
    from device_agents.farm.ledger import parquet

    return parquet.write(ledger, path)


def _read_parquet(path: Path) -> Iterator[Report]:
    from device_agents.farm.ledger import parquet

    return parquet.read(path)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write, which takes its place at the end, on the disk by then. Raises BadExchangeFile."""
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private
        temporary.replace(path)
    except OSError as error:
        raise BadExchangeFile(
            f"The file can't be written: {error.strerror or error}", where=str(path), remedy="./inv ledger.export again"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
