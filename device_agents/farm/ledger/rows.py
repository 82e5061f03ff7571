"""A report as rows of the ledger's tables, and back: nothing is lost, whatever its dicts hold.

Every list of raw samples is taken out of the report and packed; what remains is kept as it is. The columns are read
out of the report to be searched by: where one of its values has another type than expected, the column is null.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

from device_agents.farm.ledger.errors import BadReport
from device_agents.farm.ledger.samples import fits, pack, unpack
from device_agents.farm.paired import calls_ns, percentile
from device_agents.farm.report import Report
from edgewright.files import canonical_json

Row = dict[str, Any]
Place = tuple[int, int]
"""Where a block stands in its report: number of the result, number of the block in it."""


@dataclass(frozen=True)
class Rows:
    """One report's rows, but for the `seq` that the database gives."""

    report: Row
    results: list[Row]
    blocks: list[Row]


def split(report: Report) -> tuple[bytes, dict[Place, list[int]]]:
    """(canonical JSON of the report without its samples, the samples). Raises BadReport where it is no JSON."""
    content = report.to_json()
    samples: dict[Place, list[int]] = {}
    try:
        for place, _, block in _blocks(content):
            if fits(block.get("samples_ns")):
                samples[place] = block.pop("samples_ns")
        return canonical_json(content), samples
    except (TypeError, ValueError, AttributeError) as error:
        raise bad(report, error) from error


def join(rest: bytes, samples: Mapping[Place, list[int]]) -> Report:
    """The report that `split` was given. Raises ValueError, TypeError, KeyError or AttributeError for other bytes."""
    content = json.loads(rest)
    for place, _, block in _blocks(content):
        if place in samples:
            block["samples_ns"] = samples[place]
    return Report(**{field.name: content[field.name] for field in fields(Report) if field.name in content})


def to_rows(report: Report) -> Rows:
    """The rows of a report. Raises BadReport."""
    rest, samples = split(report)
    content = report.to_json()
    try:
        if not _is_id(report.id):
            raise ValueError("its id is no name of a file")
        results = [_result(content, i, *numbered) for i, numbered in enumerate(_results(content))]
        blocks = [_block(place, kept, block, samples.get(place)) for place, kept, block in _blocks(content)]
        canary = next((row["p50_ns"] for row in results if row["canary"]), None)
        return Rows(_report(content) | {"canary_model_p50_ns": canary, "rest": zlib.compress(rest)}, results, blocks)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise bad(report, error) from error


def from_rows(rest: bytes, packed: Iterable[tuple[int, int, bytes]]) -> Report:
    """The report of a row's `rest` and its blocks' (result, number, samples)."""
    return join(zlib.decompress(rest), {(result, number): unpack(data) for result, number, data in packed})


def bad(report: Report, error: Exception) -> BadReport:
    """What to raise for a report that can't be filed."""
    return BadReport(
        f"This is no report that can be filed: {error}", where=str(report.id), remedy="measure again: ./inv deploy"
    )


def _results(content: Row) -> Iterator[tuple[bool, Row]]:
    """(is it the canary model's, the result), in the order of their numbers."""
    for result in content["results"]:
        yield False, result
    if content.get("canary_model") is not None:
        yield True, content["canary_model"]


def _blocks(content: Row) -> Iterator[tuple[Place, bool, Row]]:
    """(place, kept or measured again, block) of every block."""
    for i, (_, result) in enumerate(_results(content)):
        kept, redone = result.get("blocks") or [], result.get("redone") or []
        for number, block in enumerate([*kept, *redone]):
            yield (i, number), number < len(kept), block


def _report(content: Row) -> Row:
    device, facts, state = (_dict(content[name]) for name in ("device", "facts", "state_before"))
    canary = [ns for one in content["canary"] if (ns := _number(_dict(one).get("ns"))) is not None]
    return {
        **{name: _text(content[name]) for name in ("id", "started", "finished", "model", "target")},
        "device": _text(device.get("name")) or "",
        "identity": _text(device.get("identity")),
        "stand_in": bool(device.get("stand_in")),
        "emulated": bool(device.get("emulated")),
        "valid": bool(content["valid"]),
        "purpose": _text(content.get("purpose")) or "deploy",
        "git_commit": _text(content.get("commit")),
        **{name: _text(facts.get(name)) for name in ("kernel", "os", "boot_id")},
        "agent_version": _text(_dict(content["agent"]).get("version")),
        **{name: _text(state.get(name)) for name in ("governor", "power_mode")},
        "max_freq_khz": _whole(state.get("max_freq_khz")),
        "temperature_c": _number(state.get("temperature_c")),
        "canary_ns": median(canary) if canary else None,
    }


def _result(content: Row, number: int, canary: bool, result: Row) -> Row:
    name, job = result["name"], _dict(content["job"])
    variants = [job.get("canary")] if canary else job.get("variants") or []
    asked = next((one for one in map(_dict, variants) if one.get("name") == name), {})
    ran = _dict(result.get("runtime")) or _dict(content["runtime"])  # earlier reports name one runtime for all
    accuracy = _dict(result.get("accuracy"))
    times = sorted(ns for block in result.get("blocks") or [] for ns in calls_ns(block))
    loads = [ns for one in result.get("loads") or [] if (ns := _number(_dict(one).get("load_ns"))) is not None]
    return {
        "number": number,
        "name": _text(name) or "",
        "canary": canary,
        "bundle": _text(result.get("bundle")),
        "runtime": _text(ran.get("name") or asked.get("runtime")),
        "runtime_version": _text(ran.get("version")),
        "numpy": _text(ran.get("numpy")),
        "format": _text(asked.get("format")),
        "precision": _text(asked.get("precision")),
        "bytes": _whole(_dict(asked.get("bundle")).get("bytes")),
        **{f"p{share}_ns": percentile(times, share / 100) if times else None for share in (50, 90, 99)},
        "load_ns": median(loads) if loads else None,
        "peak_bytes": _whole(result.get("peak_bytes")),
        "energy_mj": _number(result.get("energy_mj")),
        "metric_name": _text(accuracy.get("name")),
        "metric_value": _number(accuracy.get("value")),
        "metric_n": _whole(accuracy.get("n")),
        "outputs_sha256": _text(accuracy.get("outputs_sha256")),
        "error": _text(result.get("error")),
    }


def _block(place: Place, kept: bool, block: Row, samples: list[int] | None) -> Row:
    raw = block.get("samples_ns") or []
    if not isinstance(raw, list):
        raise TypeError("samples_ns is no list")
    times = calls_ns(block)
    return {
        "result": place[0],
        "number": place[1],
        "kept": kept,
        **{name: _whole(block.get(name)) for name in ("process", "round", "position", "attempt", "batch")},
        "count": len(raw),
        "ns": _number(median(times)) if times else None,
        **{name: _number(block.get(name)) for name in ("others_cpu_share", "canary_ratio")},
        "samples": pack(samples) if samples else None,
    }


def _is_id(value: Any) -> bool:
    """Whether it can name a file: then it is also found again under the very same text."""
    return isinstance(value, str) and re.fullmatch(r"[\w][\w.+-]{0,199}", value, re.ASCII) is not None


def _dict(value: Any) -> Row:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    """Text that both databases take: no NUL, no half of a surrogate pair."""
    return None if value is None else str(value).encode(errors="replace").decode().replace("\0", "?")


def _number(value: Any) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and abs(value) < 1e300 and math.isfinite(value) else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and -(1 << 63) <= value < 1 << 63 else None
