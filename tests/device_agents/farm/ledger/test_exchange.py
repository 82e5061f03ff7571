"""The ledger as a file and back: nothing is lost, garbage is refused by its line, nothing is half done."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from device_agents.farm.ledger.errors import BadExchangeFile, ReportConflict
from device_agents.farm.ledger.exchange import Imported, export_ledger, import_file
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.report import Report
from edgewright.errors import BadArgument
from edgewright.extras import MissingExtra
from edgewright.files import canonical_json
from tests.device_agents.farm.ledger import made

FORMS = pytest.mark.parametrize("name", ["reports.jsonl", "reports.parquet"])


def contents(ledger: Ledger) -> list[bytes]:
    return [canonical_json(report.to_json()) for report in ledger.every()]


@FORMS
def test_round_trip_is_exact_and_keeps_the_order(name: str, ledger: Ledger, tmp_path: Path) -> None:
    failed = made.report()
    failed.results[0] |= {"blocks": [], "error": "killed"}
    redone = made.report(canary_model=made.canary_model())
    redone.results[0]["redone"] = [made.block(3.0)]
    ledger.append_all([made.report(shapes=3), failed, made.report(results=[]), redone])
    assert export_ledger(ledger, tmp_path / name) == 4
    with Ledger.open(None, tmp_path / "other") as other:
        assert import_file(other, tmp_path / name) == Imported(4, 0)
        assert contents(other) == contents(ledger)
        assert import_file(other, tmp_path / name) == Imported(0, 4)
        assert contents(other) == contents(ledger)


@FORMS
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_reports=st.lists(made.reports(), max_size=4))
def test_any_reports_come_back_equal(
    name: str, given_reports: list[Report], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("exchange")
    with Ledger.open(None, folder) as ledger, Ledger.open(None, folder / "other") as other:
        ledger.append_all(given_reports)
        export_ledger(ledger, folder / name)
        import_file(other, folder / name)
        assert contents(other) == [canonical_json(report.to_json()) for report in given_reports]


def test_more_blocks_than_are_written_at_once_come_back(ledger: Ledger, tmp_path: Path) -> None:
    many = [made.block(1.0, round=i) for i in range(5000)]
    reports = [made.report() for _ in range(3)]
    reports[1].results[0]["blocks"] = many
    ledger.append_all(reports)
    export_ledger(ledger, tmp_path / "all.parquet")
    with Ledger.open(None, tmp_path) as other:
        import_file(other, tmp_path / "all.parquet")
        assert contents(other) == contents(ledger)


def test_parquet_can_be_read_without_edgewright(state: Path, tmp_path: Path) -> None:
    report = made.report(shapes=2)
    with Ledger.open(None, state) as ledger:
        ledger.append(report)
        export_ledger(ledger, tmp_path / "all.parquet")
    table = parquet.read_table(tmp_path / "all.parquet")
    assert table.num_rows == 12
    row = table.slice(7, 1).to_pylist()[0]
    block = report.results[1]["blocks"][1]
    assert (row["report"], row["model"], row["result_name"]) == (report.id, "resnet20", "int8")
    assert (row["samples_ns"], row["block_process"], row["block_round"]) == (
        block["samples_ns"],
        block["process"],
        block["round"],
    )
    assert row["report_json"] is None


def test_one_report_of_a_folder_can_be_imported(state: Path, tmp_path: Path) -> None:
    report = made.report()
    path = report.write(tmp_path)
    with Ledger.open(None, state) as ledger:
        assert import_file(ledger, path) == Imported(1, 0)
        assert ledger.report(report.id) == report


GOOD = made.report("good").to_json()


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        canonical_json(GOOD)[:-20],
        canonical_json(GOOD | {"schema": "other/1"}),
        canonical_json(GOOD | {"unheard_of": 1}),
        canonical_json({key: value for key, value in GOOD.items() if key != "results"}),
        canonical_json(GOOD | {"valid": "yes"}),
        canonical_json(GOOD | {"id": 7}),
        canonical_json(GOOD | {"id": "../x"}),
        canonical_json(GOOD | {"results": [1]}),
        canonical_json(GOOD | {"results": [{"name": "x", "blocks": 7}]}),
        canonical_json(GOOD | {"results": [{"name": "x", "blocks": [{"samples_ns": "abc"}]}]}),
        json.dumps(GOOD | {"idle_mw": float("inf")}).encode(),
    ],
)
def test_garbage_is_refused_with_its_line_and_nothing_is_imported(line: bytes, ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(b"\n".join([canonical_json(made.report().to_json()), line, canonical_json(GOOD)]) + b"\n")
    with pytest.raises(BadExchangeFile, match="This is no report") as caught:
        import_file(ledger, path)
    assert f"{path}: line 2" in str(caught.value)
    assert ledger.reports() == []


@FORMS
def test_conflict_imports_nothing(name: str, ledger: Ledger, tmp_path: Path) -> None:
    report = made.report()
    with Ledger.open(None, tmp_path) as other:
        other.append_all([made.report(), dataclasses.replace(report, warnings=["changed"])])
        export_ledger(other, tmp_path / name)
    ledger.append(report)
    with pytest.raises(ReportConflict):
        import_file(ledger, tmp_path / name)
    assert [entry.id for entry in ledger.reports()] == [report.id]


def test_parquet_of_others_and_damaged_ones_are_refused(state: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with Ledger.open(None, state) as ledger:
        path.write_bytes(b"PAR1 not really")
        with pytest.raises(BadExchangeFile, match="no Parquet"):
            import_file(ledger, path)
        parquet.write_table(pa.table({"a": [1]}), path)
        with pytest.raises(BadExchangeFile, match="was not written by"):
            import_file(ledger, path)
        with pytest.raises(BadExchangeFile, match="can't be read"):
            import_file(ledger, tmp_path / "none.parquet")
        ledger.append_all(made.report(shapes=3) for _ in range(3))
        export_ledger(ledger, path)
        whole = path.read_bytes()
        for end in (len(whole) // 2, len(whole) - 5):
            path.write_bytes(whole[:end])
            with Ledger.open(None, tmp_path) as other, pytest.raises(BadExchangeFile):
                import_file(other, path)


@pytest.mark.parametrize("change", ["samples of no block", "json cut off", "json of an invalid report"])
def test_parquet_with_one_bad_report_imports_nothing(change: str, state: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with Ledger.open(None, state) as ledger:
        ledger.append_all(made.report() for _ in range(3))
        export_ledger(ledger, path)
    table = parquet.read_table(path)
    rows = table.to_pylist()
    if change == "samples of no block":
        rows[8]["block_number"] = 99
    elif change == "json cut off":
        rows[6]["report_json"] = rows[6]["report_json"][:-9]
    else:
        rows[6]["report_json"] = rows[6]["report_json"].replace('"valid":true', '"valid":"yes"')
    parquet.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    with Ledger.open(None, tmp_path) as other:
        with pytest.raises(BadExchangeFile) as caught:
            import_file(other, path)
        assert f"{path}: row 7" in str(caught.value)
        assert other.reports() == []


@FORMS
def test_export_that_fails_leaves_the_old_file(
    name: str, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_text("the old one")
    with Ledger.open(None, state) as ledger:
        ledger.append(made.report())
        monkeypatch.setattr(Ledger, "every", lambda self: (_ for _ in [1]).throw(OSError(28, "No space left")))
        with pytest.raises(BadExchangeFile, match="No space left"):
            export_ledger(ledger, path)
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert path.read_text() == "the old one"


def test_export_into_no_folder_says_so(state: Path, tmp_path: Path) -> None:
    with Ledger.open(None, state) as ledger, pytest.raises(BadExchangeFile, match="can't be written"):
        export_ledger(ledger, tmp_path / "none" / "x.jsonl")


def test_other_names_are_refused(state: Path, tmp_path: Path) -> None:
    with Ledger.open(None, state) as ledger, pytest.raises(BadArgument, match=r"reports\.csv"):
        export_ledger(ledger, tmp_path / "reports.csv")


def test_parquet_without_its_extra_says_what_to_install(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with Ledger.open(None, state) as ledger, pytest.raises(MissingExtra, match="pyarrow") as caught:
        export_ledger(ledger, tmp_path / "x.parquet")
    assert "./inv setup parquet" in str(caught.value)
