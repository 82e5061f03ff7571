"""The ledger as Parquet: one row a block with its samples, beside it what the report and the result say of themselves.

The first row of each report has in `report_json` all that the columns don't, so that nothing is lost on the way back. A
report without any block has one row. Reading needs no Edgewright: any tool that knows Parquet will do.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.farm.ledger import tables
from device_agents.farm.ledger.exchange import check_report, refused
from device_agents.farm.ledger.rows import Place, join, split, to_rows
from device_agents.farm.report import SCHEMA, Report
from edgewright.extras import extra

if TYPE_CHECKING:
    from device_agents.farm.ledger.ledger import Ledger

_FORM = b"edgewright-ledger-parquet/1"
_ROWS_AT_ONCE = 4096
_JSON, _SAMPLES, _REPORT, _RESULT, _BLOCK = "report_json", "samples_ns", "report", "result_number", "block_number"


def write(ledger: Ledger, path: Path) -> int:
    """Writes every report. Returns how many. Raises MissingExtra."""
    with extra("parquet", "Parquet files"):
        import pyarrow as pa
        from pyarrow import parquet

    schema, count, waiting = _schema(), 0, []
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for report in ledger.every():
            waiting += _rows(report)
            count += 1
            if len(waiting) >= _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
                waiting = []
        writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
    return count


def read(path: Path) -> Iterator[Report]:
    """The reports that `write` wrote. Raises BadExchangeFile, MissingExtra, OSError."""
    with extra("parquet", "Parquet files"):
        import pyarrow as pa
        from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            if (file.schema_arrow.metadata or {}).get(b"form") != _FORM:
                raise refused(path, "its metadata", "it was not written by ./inv ledger.export")
            yield from _reports(path, file)
    except pa.ArrowException as error:
        raise refused(path, "the file", f"no Parquet, or a damaged one ({error})") from error


def _reports(path: Path, file: Any) -> Iterator[Report]:
    rest: str | None = None
    samples: dict[Place, list[int]] = {}
    began = row = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[_JSON, _RESULT, _BLOCK, _SAMPLES]):
        for one in batch.to_pylist():
            row += 1
            if one[_JSON] is not None:
                if rest is not None:
                    yield _report(path, began, rest, samples)
                rest, samples, began = one[_JSON], {}, row
            if one[_SAMPLES] is not None:
                samples[one[_RESULT], one[_BLOCK]] = one[_SAMPLES]
    if rest is not None:
        yield _report(path, began, rest, samples)


def _report(path: Path, row: int, rest: str, samples: dict[Place, list[int]]) -> Report:
    place = f"row {row}"
    try:
        report = join(rest.encode(), samples)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise refused(path, place, str(error)) from error
    check_report(report, path, place)
    if set(split(report)[1]) != set(samples):
        raise refused(path, place, "its samples belong to no block of it")
    return report


def _rows(report: Report) -> list[dict[str, Any]]:
    made = to_rows(report)
    _, samples = split(report)
    rest = zlib.decompress(made.report["rest"]).decode()
    about = {_named("report", name): value for name, value in made.report.items() if name != "rest"}
    results = {
        result["number"]: {_named("result", name): value for name, value in result.items()} for result in made.results
    }
    rows = [
        about
        | results[block["result"]]
        | {_named("block", name): value for name, value in block.items() if name not in ("result", "samples")}
        | {_SAMPLES: samples.get((block["result"], block["number"]))}
        for block in made.blocks
    ] or [dict(about)]
    rows[0][_JSON] = rest
    return rows


def _named(of: str, column: str) -> str:
    """A column's name in the one table: those of a report's id and of `number` would else come twice."""
    return "report" if (of, column) == ("report", "id") else column if of == "report" else f"{of}_{column}"


def _schema() -> Any:
    import pyarrow as pa
    from sqlalchemy import BigInteger, Boolean, Float, Integer

    kinds = ((Boolean, pa.bool_()), (BigInteger, pa.int64()), (Integer, pa.int32()), (Float, pa.float64()))

    def fields(of: str, table: Any, *without: str) -> list[Any]:
        return [
            pa.field(
                _named(of, column.name), next((to for kind, to in kinds if isinstance(column.type, kind)), pa.string())
            )
            for column in table.columns
            if column.name not in without
        ]

    return pa.schema(
        [
            *fields("report", tables.reports, "seq", "rest"),
            *fields("result", tables.results, "report"),
            *fields("block", tables.blocks, "report", "result", "samples"),
            pa.field(_SAMPLES, pa.list_(pa.int64())),
            pa.field(_JSON, pa.string()),
        ],
        metadata={b"form": _FORM, b"reports": SCHEMA.encode()},
    )
