"""One line each of what the ledger lists: a report, a result, an accepted bundle, a bundle's first appearance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportEntry:
    """A report without its samples. `variants` is how many results it has, the canary model's not counted."""

    seq: int
    id: str
    started: str
    finished: str
    model: str
    target: str
    device: str
    identity: str | None
    stand_in: bool
    emulated: bool
    valid: bool
    purpose: str
    git_commit: str | None
    kernel: str | None
    os: str | None
    agent_version: str | None
    canary_ns: float | None
    canary_model_p50_ns: float | None
    variants: int


@dataclass(frozen=True)
class ResultEntry:
    """One variant's figures in one report. Times in ns, sizes in bytes, energy in mJ a call."""

    seq: int
    report: str
    started: str
    model: str
    target: str
    device: str
    valid: bool
    name: str
    canary: bool
    bundle: str | None
    runtime: str | None
    runtime_version: str | None
    numpy: str | None
    format: str | None
    precision: str | None
    bytes: int | None
    p50_ns: float | None
    p90_ns: float | None
    p99_ns: float | None
    load_ns: float | None
    peak_bytes: int | None
    energy_mj: float | None
    metric_name: str | None
    metric_value: float | None
    metric_n: int | None
    outputs_sha256: str | None
    error: str | None


@dataclass(frozen=True)
class Acceptance:
    """A bundle that a person accepted. accepted: UTC, ISO 8601; report: id of the one it rests on, None without."""

    seq: int
    model: str
    target: str
    variant: str
    bundle: str
    accepted: str
    who: str
    note: str
    report: str | None


@dataclass(frozen=True)
class BundleEntry:
    """A bundle's first appearance in a report."""

    seq: int
    report: str
    started: str
    variant: str
    bundle: str
