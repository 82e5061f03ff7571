"""JUnit XML: what CI readers count on, by the rules of Jenkins' and Surefire's schemas."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import datetime

import pytest

from device_agents.farm.night.out.junit import BUILDS, junit
from device_agents.farm.night.record import Night
from tests.device_agents.farm.night.out.nights import hostile, job, night, troubled, verdict


def _read(one: Night) -> ET.Element:
    return ET.fromstring(junit(one))


def _kinds(root: ET.Element) -> dict[str, str]:
    """By class and name, how each case ended."""
    return {
        f"{case.get('classname')} {case.get('name')}": case[0].tag if len(case) else "passed"
        for case in root.iter("testcase")
    }


def test_quiet_night_is_green() -> None:
    root = _read(night())
    assert set(_kinds(root).values()) == {"passed"}
    assert [suite.get("name") for suite in root] == [BUILDS, "pi-1", "pi-2"]


def test_regression_is_a_failure_with_its_reason_and_trouble_an_error() -> None:
    root = _read(troubled())
    assert _kinds(root) == {
        "(builds).raspberry-pi big": "error",
        "pi-1.net measured": "passed",
        "pi-1.net int8@litert (litert, int8): latency": "failure",
        "pi-1.net int8@litert (litert, int8): load_time": "skipped",  # the device did it
        "pi-1.net int8@litert (litert, int8): memory": "skipped",
        "pi-1.net int8@litert (litert, int8): size": "passed",
        "pi-2.net measured": "error",
        "pi-3.device available": "error",
    }
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "25.0 % slower: the model changed"
    assert failure.text == "./inv ledger.show 20261126T020500Z-net-raspberry-pi-0a1b2c"
    error = root.find(".//testsuite[@name='pi-2']//error")
    assert error is not None
    assert (error.get("type"), error.get("message"), error.text) == (
        "failed",
        "the link broke",
        "./inv devices.doctor pi-2",
    )


@pytest.mark.parametrize("one", [night(), troubled(), hostile()], ids=["quiet", "troubled", "hostile"])
def test_document_keeps_the_rules_of_its_readers(one: Night) -> None:
    root = _read(one)
    assert root.tag == "testsuites"
    total = {"tests": 0, "failures": 0, "errors": 0}
    for suite in root:
        assert suite.tag == "testsuite"
        assert {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"} <= set(suite.attrib)
        datetime.strptime(suite.attrib["timestamp"], "%Y-%m-%dT%H:%M:%S")
        assert [child.tag for child in suite] == ["properties"] + ["testcase"] * (len(suite) - 1)
        tags = [case[0].tag for case in suite.iter("testcase") if len(case)]
        assert all(len(case) <= 1 for case in suite.iter("testcase"))
        counted = {"tests": len(suite) - 1, "failures": tags.count("failure"), "errors": tags.count("error")}
        assert {name: int(suite.attrib[name]) for name in counted} == counted
        assert int(suite.attrib["skipped"]) == tags.count("skipped")
        assert float(suite.attrib["time"]) == pytest.approx(
            sum(float(case.attrib["time"]) for case in suite.iter("testcase"))
        )
        total = {name: total[name] + counted[name] for name in total}
    assert {name: int(root.attrib[name]) for name in total} == total
    names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert len(set(names)) == len(names)


def test_hostile_names_leave_no_character_that_xml_has_no_way_to_write() -> None:
    text = junit(hostile()).decode("utf-8")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]", text)
    assert "<script>" not in text


def test_job_that_lost_a_variant_is_an_error() -> None:
    kinds = _kinds(_read(night(jobs=(job("pi-1", problem="int8: out of memory"), job("pi-2")))))
    assert (kinds["pi-1.net measured"], kinds["pi-2.net measured"]) == ("error", "passed")


def test_dots_in_names_make_no_packages_and_same_names_are_told_apart() -> None:
    one = night(jobs=(job("pi-1", id="a", model="v1.0"), job("pi-1", id="b", model="v1.0")), verdicts=())
    names = [(case.get("classname"), case.get("name")) for case in _read(one).iter("testcase")]
    assert ("pi-1.v1_0", "measured") in names
    assert ("pi-1.v1_0", "measured (2)") in names


def test_device_that_only_a_verdict_names_has_a_suite() -> None:
    root = _read(night(devices=(), jobs=(), verdicts=(verdict(device="gone"),)))
    assert "gone" in [suite.get("name") for suite in root]
