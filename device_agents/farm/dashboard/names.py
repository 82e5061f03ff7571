"""Names of the dashboard's files: digests and safe characters only, whatever models, devices and reports are called."""

from __future__ import annotations

import re
from dataclasses import asdict

from device_agents.farm.ledger.points import Key
from edgewright.files import canonical_json, sha256_bytes

INDEX, STYLE = "index.html", "style.css"
REPORTS, SAMPLES, SERIES, MONTHS = "reports", "samples", "series", "months"
"""The folders of each kind of page."""

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
_DIGITS = 12
"""Of a digest: enough that two of a farm's thousand series don't share a page."""


def report_file(id: str) -> str:
    """A report's page, from the dashboard's root."""
    return f"{REPORTS}/{_stem(id)}.html"


def samples_file(id: str) -> str:
    """All of a report as JSON, its raw samples too, compressed by gzip."""
    return f"{SAMPLES}/{_stem(id)}.json.gz"


def series_file(key: Key) -> str:
    """The page of a series: a name that can be read, and a digest that makes it the only one."""
    said = re.sub(r"[^a-z0-9]+", "-", f"{key.model}-{key.variant}-{key.device}".lower()).strip("-")[:60]
    digest = sha256_bytes(canonical_json(asdict(key)))[:_DIGITS]
    return f"{SERIES}/{said or 'series'}-{digest}.html"


def month_of(started: str) -> str:
    """2026-11 of a time as ISO 8601; "undated" of anything else."""
    return started[:7] if re.match(r"[0-9]{4}-(0[1-9]|1[0-2])-", started) else "undated"


def month_file(month: str) -> str:
    """The list of a month's reports; month: as `month_of` gives it."""
    return f"{MONTHS}/{month}.html"


def _stem(id: str) -> str:
    """An id that is a safe name as it is, any other by its digest."""
    return id if _SAFE.fullmatch(id) else f"report-{sha256_bytes(id.encode('utf-8', 'surrogatepass'))[:32]}"
