"""The ledger in both databases: what goes in comes out equal, once, and stays."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from device_agents.farm.ledger.errors import BadReport, NotInLedger, ReportConflict
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.ledger.tables import blocks, metadata, results
from device_agents.farm.report import Report
from edgewright.files import canonical_json
from tests.device_agents.farm.ledger import made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(report=made.reports())
def test_any_report_comes_out_equal(ledger: Ledger, report: Report) -> None:
    assert ledger.append(report)
    found = ledger.report(report.id)
    assert found == report
    # == takes 1 for 1.0 and for True: the JSON does not.
    assert canonical_json(found.to_json()) == canonical_json(report.to_json())
    assert ledger.reports(limit=1)[0].id == report.id


def test_append_twice_files_once(ledger: Ledger) -> None:
    report = made.report()
    assert ledger.append(report) is True
    assert ledger.append(made.report(report.id)) is False
    assert len(ledger.reports()) == 1


def test_append_of_other_content_under_the_same_id_is_refused(ledger: Ledger) -> None:
    report = made.report()
    ledger.append(report)
    with pytest.raises(ReportConflict, match="another report") as caught:
        ledger.append(dataclasses.replace(report, warnings=["changed"]))
    assert f"./inv ledger.show {report.id}" in str(caught.value)
    assert ledger.report(report.id) == report


def test_append_all_files_all_or_none(ledger: Ledger) -> None:
    first = made.report()
    ledger.append(first)
    with pytest.raises(ReportConflict):
        ledger.append_all([made.report(), made.report(), dataclasses.replace(first, model="other")])
    assert [entry.id for entry in ledger.reports()] == [first.id]


@pytest.mark.parametrize("id", ["", "a/b", "../x", ".hidden", "a\0b", "é", "x" * 201])
def test_append_refuses_an_id_that_names_no_file(ledger: Ledger, id: str) -> None:
    with pytest.raises(BadReport, match="name of a file"):
        ledger.append(dataclasses.replace(made.report(), id=id))


def test_append_refuses_what_json_can_not_say(ledger: Ledger) -> None:
    with pytest.raises(BadReport):
        ledger.append(made.report(facts={"load": math.nan}))
    with pytest.raises(BadReport):
        ledger.append(made.report(results=["no result"]))
    assert ledger.reports() == []


def test_report_that_is_not_there_says_so(ledger: Ledger) -> None:
    with pytest.raises(NotInLedger, match="no report 'x'"):
        ledger.report("x")


def test_columns_are_what_the_report_says(ledger: Ledger) -> None:
    report = made.report(
        purpose="nightly",
        commit="c0ffee",
        canary_model=made.canary_model(2.0),
        canary=[{"process": 0, "round": 0, "when": "before", "ns": ns} for ns in (4, 5, 9)],
    )
    report.results[0] |= {"energy_mj": 1.5, "runtime": {"name": "onnxruntime", "version": "1.31.1", "numpy": "2.4.6"}}
    ledger.append(report)
    (entry,) = ledger.reports()
    assert (entry.purpose, entry.git_commit, entry.identity, entry.canary_ns) == ("nightly", "c0ffee", "ab" * 8, 5)
    assert (entry.kernel, entry.os, entry.variants, entry.valid) == ("6.1.0", "Debian GNU/Linux 12", 1, True)
    assert entry.canary_model_p50_ns == pytest.approx(2e6, rel=0.3)
    one, canary = ledger.results()
    assert (one.name, one.canary, canary.name, canary.canary) == ("trained", False, "(canary)", True)
    assert (one.runtime, one.runtime_version, one.precision, one.bytes) == ("onnxruntime", "1.31.1", "float32", 1234)
    assert (one.energy_mj, one.metric_name, one.metric_value, one.metric_n) == (1.5, "top-1", 0.9331, 10000)
    assert one.p50_ns and one.p90_ns and one.p99_ns and one.p50_ns < one.p90_ns < one.p99_ns
    assert one.bundle == report.results[0]["bundle"]
    assert one.peak_bytes == report.results[0]["peak_bytes"]


def test_blocks_are_kept_apart_from_those_done_again(ledger: Ledger) -> None:
    report = made.report()
    report.results[0]["redone"] = [made.block(9.0, attempt=1, canary_ratio=1.4)]
    ledger.append(report)
    with ledger._reading() as connection:
        found = connection.execute(select(blocks.c.kept, blocks.c.attempt, blocks.c.canary_ratio, blocks.c.count)).all()
    assert [row.kept for row in found] == [True] * 6 + [False]
    assert tuple(found[-1]) == (False, 1, 1.4, 20)


def test_reports_are_filtered_and_in_their_order(ledger: Ledger) -> None:
    # Clocks go back; seq does not.
    made_at = ["2026-03-01", "1970-01-01", "2026-02-01", "2026-01-01"]
    given = [
        made.report(started=at, model=model, valid=at != "2026-02-01")
        for at, model in zip(made_at, "abab", strict=True)
    ]
    for report in given:
        ledger.append(report)
    ids = [report.id for report in given]
    assert [entry.id for entry in ledger.reports()] == ids
    assert [entry.id for entry in ledger.reports(limit=2)] == ids[-2:]
    assert [entry.id for entry in ledger.reports(model="a")] == ids[::2]
    assert [entry.id for entry in ledger.reports(valid=False)] == [ids[2]]
    assert [entry.id for entry in ledger.reports(since_seq=ledger.reports()[1].seq)] == ids[2:]
    assert ledger.reports(target="none") == ledger.reports(device="none") == ledger.reports(purpose="bisect") == []
    assert len(ledger.reports(target="raspberry-pi", device="kitchen-pi", purpose="deploy")) == 4


def test_results_are_filtered(ledger: Ledger) -> None:
    first, second = made.report(shapes=2), made.report(shapes=2, model="other")
    ledger.append_all([first, second])
    digest = first.results[1]["bundle"]
    assert [(r.report, r.name) for r in ledger.results()] == [
        (report.id, name) for report in (first, second) for name in ("trained", "int8")
    ]
    assert {r.report for r in ledger.results(bundle=digest[:7])} == {first.id, second.id}
    assert [r.bundle for r in ledger.results(report=second.id, variant="int8")] == [digest]
    assert ledger.results(bundle="%") == []


@pytest.mark.parametrize("table", ["reports", "results", "blocks", "acceptances"])
@pytest.mark.parametrize("how", ["update", "delete", "replace", "truncate"])
def test_what_is_written_can_not_be_changed(ledger: Ledger, table: str, how: str) -> None:
    report = made.report()
    ledger.append(report)
    ledger.accept(model="m", target="t", variant="v", bundle="b", who="me", report=report.id)
    sqlite = ledger._engine.dialect.name == "sqlite"
    column = {"reports": "model", "results": "name", "blocks": "count", "acceptances": "note"}[table]
    key = ", ".join(one.name for one in metadata.tables[table].primary_key)
    copy = f"INTO {table} SELECT * FROM {table} WHERE true"
    sql = {
        "update": f"UPDATE {table} SET {column} = {column}",
        "delete": f"DELETE FROM {table}",
        "replace": f"INSERT OR REPLACE {copy}",
        "upsert": f"INSERT {copy} ON CONFLICT ({key}) DO UPDATE SET {column} = EXCLUDED.{column}",
        "truncate": f"TRUNCATE {table} CASCADE",
    }[{"replace": "replace" if sqlite else "upsert", "truncate": "delete" if sqlite else "truncate"}.get(how, how)]
    before = counts(ledger)
    with pytest.raises(DBAPIError, match="append-only"), ledger._engine.begin() as connection:
        connection.execute(text(sql))
    assert counts(ledger) == before
    assert ledger.report(report.id) == report


def test_replace_of_a_report_by_its_id_is_refused(ledger: Ledger) -> None:
    ledger.append(made.report())
    names = ", ".join(column.name for column in metadata.tables["reports"].columns if column.name != "seq")
    sqlite = ledger._engine.dialect.name == "sqlite"
    sql = f"INSERT {'OR REPLACE ' if sqlite else ''}INTO reports ({names}) SELECT {names} FROM reports WHERE true"
    if not sqlite:
        sql += " ON CONFLICT (id) DO UPDATE SET model = EXCLUDED.model"
    with pytest.raises(DBAPIError, match="append-only"), ledger._engine.begin() as connection:
        connection.execute(text(sql))


def test_acceptance_is_found_again_and_the_newest_counts(ledger: Ledger) -> None:
    report = made.report()
    ledger.append(report)
    assert ledger.accepted("m", "t") is None
    first = ledger.accept(model="m", target="t", variant="v", bundle="b1", who="me", note="why", report=report.id)
    second = ledger.accept(model="m", target="t", variant="w", bundle="b2", who="me")
    other = ledger.accept(model="n", target="t", variant="v", bundle="b1", who="me")
    assert ledger.acceptances() == [first, second, other]
    assert ledger.accepted("m", "t") == second
    assert (first.note, first.report, second.report) == ("why", report.id, None)
    with pytest.raises(NotInLedger):
        ledger.accept(model="m", target="t", variant="v", bundle="b", who="me", report="none")


def test_a_second_ledger_of_the_same_place_sees_all(address: str | None, state: Path) -> None:
    report = made.report()
    with Ledger.open(address, state) as one, Ledger.open(address, state) as two:
        one.append(report)
        assert two.report(report.id) == report
        assert two.append(report) is False


def counts(ledger: Ledger) -> list[int]:
    with ledger._reading() as connection:
        return [
            connection.execute(select(func.count()).select_from(table)).scalar_one() for table in metadata.sorted_tables
        ]


def test_a_report_of_a_thousand_blocks_is_filed(ledger: Ledger) -> None:
    report = made.report()
    report.results[0]["blocks"] = [made.block(1.0, round=i) for i in range(1000)]
    ledger.append(report)
    assert ledger.report(report.id) == report
    with ledger._reading() as connection:
        assert connection.execute(select(func.count()).select_from(blocks)).scalar() == 1000
        assert connection.execute(select(func.count()).select_from(results)).scalar() == 1
