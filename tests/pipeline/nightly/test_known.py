"""What a night that was cut off has measured: only valid reports over the very bundles and from the very board."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.farm.report import Report
from pipeline.nightly.child import Variant
from pipeline.nightly.known import Known
from tests.pipeline.nightly.farm import NIGHT, answer, report

WANTED = answer("m", "t").variants
BOARD = "ab" * 8


def found(reports: list[Report], wanted: dict[str, Variant] = WANTED, identity: str | None = BOARD) -> Report | None:
    return Known(reports).find("pi", identity, "m", "t", wanted)


def test_same_bundles_from_the_same_board_are_known() -> None:
    one = report("pi", "m", "t")
    assert found([one]) is one


def test_invalid_reports_and_those_for_something_else_are_not() -> None:
    assert found([report("pi", "m", "t", valid=False)]) is None
    other = report("pi", "m", "t")
    other.purpose = "bench"
    assert found([other]) is None
    assert found([report("pi2", "m", "t"), report("pi", "n", "t"), report("pi", "m", "u")]) is None


def test_another_board_or_another_bundle_is_measured() -> None:
    one = report("pi", "m", "t")
    assert found([one], identity="cd" * 8) is None
    assert found([one], identity=None) is None
    changed = WANTED | {"int8": WANTED["int8"].model_copy(update={"digest": "9" * 64})}
    assert found([one], changed) is None


def test_variant_that_came_since_makes_it_another_job() -> None:
    more = WANTED | {"new": WANTED["int8"].model_copy(update={"digest": "9" * 64})}
    assert found([report("pi", "m", "t")], more) is None


def test_runtime_that_the_device_cannot_have_is_not_waited_for() -> None:
    more = WANTED | {"trained@onnxruntime": Variant(digest="9" * 64, folder=Path("x"), runtime="onnxruntime")}
    one = report("pi", "m", "t")
    assert found([one], more) is one


def test_reports_of_this_night_are_read_and_damaged_ones_left_out(tmp_path: Path) -> None:
    one = report("pi", "m", "t")
    one.write(tmp_path / "reports")
    (tmp_path / "reports" / f"{NIGHT}-broken.json").write_text("{")
    earlier = report("pi2", "m", "t")
    earlier.id = "20261125T020000Z-x"
    earlier.write(tmp_path / "reports")
    known = Known.since(tmp_path, NIGHT)
    got = known.find("pi", BOARD, "m", "t", WANTED)
    assert got is not None and got.id == one.id
    assert known.find("pi2", BOARD, "m", "t", WANTED) is None
    assert Known.since(tmp_path / "nowhere", NIGHT).find("pi", BOARD, "m", "t", WANTED) is None


@pytest.mark.parametrize("name", ["trained", "int8"])
def test_report_without_one_of_the_bundles_is_not_enough(name: str) -> None:
    one = report("pi", "m", "t")
    one.results = [result for result in one.results if result["name"] == name]
    assert found([one]) is None
