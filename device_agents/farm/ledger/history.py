"""What was measured again and again: series by what they are of, and a variant's bundles in the order they came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select

from device_agents.farm.ledger.entries import BundleEntry
from device_agents.farm.ledger.points import Key, Point, Series
from device_agents.farm.ledger.tables import blocks, reports, results

METRICS = {
    "latency": results.c.p50_ns,
    "load_time": results.c.load_ns,
    "memory": results.c.peak_bytes,
    "size": results.c.bytes,
    "energy": results.c.energy_mj,
    "accuracy": results.c.metric_value,
}
"""What a point may have a value of, and the column that has it."""

ENVIRONMENT = {
    "bundle": results.c.bundle,
    "runtime_version": results.c.runtime_version,
    "numpy": results.c.numpy,
    "kernel": reports.c.kernel,
    "os": reports.c.os,
    "identity": reports.c.identity,
    "agent_version": reports.c.agent_version,
    "governor": reports.c.governor,
    "power_mode": reports.c.power_mode,
    "max_freq_khz": reports.c.max_freq_khz,
    "temperature_c": reports.c.temperature_c,
    "metric_name": results.c.metric_name,
    "metric_n": results.c.metric_n,
}
"""What could have moved a point; a point's mapping leaves out what its report doesn't say."""

_KEY = (
    reports.c.model, results.c.name, reports.c.target, reports.c.device, results.c.runtime, results.c.precision,
)  # fmt: skip


def counts() -> Any:
    """Which results may stand in a series: of valid reports, from the device itself, and that did not fail."""
    return and_(
        reports.c.valid,
        ~reports.c.emulated,
        ~reports.c.stand_in,
        ~results.c.canary,
        results.c.error.is_(None),
    )


def series(
    connection: Connection,
    where: dict[str, str | None],
    metric: str | None,
    purposes: Collection[str] | None,
) -> list[Series]:
    """The series of the reports that `where` (column of reports: value, None for any) and `purposes` leave."""
    chosen = _chosen(where, counts())
    if purposes is not None:
        chosen = chosen.where(reports.c.purpose.in_(purposes))
    if metric is not None:
        chosen = chosen.where(METRICS[metric].is_not(None))
    # Columns of two tables may share a name, so each is asked for under its place.
    wanted = [*_KEY, *METRICS.values(), *ENVIRONMENT.values()]
    rows = connection.execute(
        chosen.add_columns(*(column.label(f"c{i}") for i, column in enumerate(wanted))).order_by(reports.c.seq)
    ).all()
    medians = _medians(connection, chosen)
    canaries = _canary_runtimes(connection, chosen)
    found: dict[Key, list[Point]] = defaultdict(list)
    for row in rows:
        names, values, told = _parts(row)
        key = Key(*("unknown" if name is None else name for name in names))
        found[key].append(
            Point(
                seq=row.seq,
                report=row.id,
                started=row.started,
                values={name: float(value) for name, value in zip(METRICS, values, strict=True) if value is not None},
                blocks=medians[row.seq, row.number],
                canary_ns=row.canary_ns,
                canary_blocks=medians[row.seq, None] if canaries.get(row.seq) == names[4] else (),
                environment={name: str(v) for name, v in zip(ENVIRONMENT, told, strict=True) if v is not None},
            )
        )
    return [Series(key, tuple(found[key])) for key in sorted(found, key=lambda key: tuple(vars(key).values()))]


def bundles(connection: Connection, where: dict[str, str | None], variant: str | None) -> list[BundleEntry]:
    """Every (variant, bundle) of the chosen reports, by first appearance."""
    chosen = _chosen(where, ~results.c.canary)
    if variant is not None:
        chosen = chosen.where(results.c.name == variant)
    first = (
        chosen.with_only_columns(results.c.name, results.c.bundle, func.min(reports.c.seq).label("seq"))
        .where(results.c.bundle.is_not(None))
        .group_by(results.c.name, results.c.bundle)
        .subquery()
    )
    rows = connection.execute(
        select(first.c.seq, reports.c.id, reports.c.started, first.c.name, first.c.bundle)
        .join(reports, reports.c.seq == first.c.seq)
        .order_by(first.c.seq, first.c.name)
    )
    return [BundleEntry(*row) for row in rows]


def _chosen(where: dict[str, str | None], condition: Any) -> Select[Any]:
    given = [reports.c[name] == value for name, value in where.items() if value is not None]
    return (
        select(reports.c.seq, reports.c.id, reports.c.started, reports.c.canary_ns, results.c.number)
        .join(results, results.c.report == reports.c.seq)
        .where(condition, *given)
    )


def _parts(row: Row[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
    """(key, metrics, environment) of a row of `series`."""
    parts = tuple(row)[-(len(_KEY) + len(METRICS) + len(ENVIRONMENT)) :]
    values, told = len(_KEY), len(_KEY) + len(METRICS)
    return parts[:values], parts[values:told], parts[told:]


def _canary_runtimes(connection: Connection, chosen: Select[Any]) -> dict[int, str | None]:
    """By seq, the runtime that a report's canary model ran in: one of another runtime says little of a result's."""
    seqs = chosen.with_only_columns(reports.c.seq)
    rows = connection.execute(
        select(results.c.report, results.c.runtime).where(results.c.canary, results.c.report.in_(seqs))
    )
    return {row.report: row.runtime for row in rows}


def _medians(connection: Connection, chosen: Select[Any]) -> dict[tuple[int, int | None], tuple[float, ...]]:
    """Medians of the kept blocks, in their order, by (seq, number of the result), the canary model's by (seq, None)."""
    seqs = chosen.with_only_columns(reports.c.seq)
    rows = connection.execute(
        select(blocks.c.report, blocks.c.result, results.c.canary, blocks.c.ns)
        .join(results, and_(results.c.report == blocks.c.report, results.c.number == blocks.c.result))
        .where(blocks.c.kept, blocks.c.ns.is_not(None), blocks.c.report.in_(seqs))
        .order_by(blocks.c.report, blocks.c.result, blocks.c.number)
    )
    found: dict[tuple[int, int | None], list[float]] = defaultdict(list)
    for seq, number, canary, ns in rows:
        found[seq, None if canary else number].append(ns)
    return defaultdict(tuple, {place: tuple(values) for place, values in found.items()})
