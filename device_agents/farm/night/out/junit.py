"""A night as JUnit XML, the form that every CI reads (the Jenkins and Surefire schemas): one suite a device, in it one
case a job and one a verdict. Failure: the model got worse. Error: the farm, not the model. Skipped: not yet decided."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from device_agents.farm.night.out.telling import Missing, Verdict, missing, printable
from device_agents.farm.night.record import DONE, JobNight, Night

BUILDS, NIGHT = "(builds)", "(night)"
"""The suites of what was built, and of the night as a whole; no device's name, for those hold no brackets."""


@dataclass
class _Case:
    """kind: None where it passed."""

    group: str
    name: str
    seconds: float = 0.0
    kind: str | None = None
    what: str = ""
    message: str = ""
    text: str = ""


@dataclass
class _Suite:
    name: str
    properties: dict[str, str] = field(default_factory=dict)
    cases: list[_Case] = field(default_factory=list)


def junit(night: Night) -> bytes:
    """The document, UTF-8. No two cases have the same class and name, and nothing in it is no character of XML."""
    suites = _suites(night)
    counts = _counts(case for suite in suites for case in suite.cases)
    root = ET.Element("testsuites", {"name": f"edgewright {_text(night.id)}"} | counts)
    taken: Counter[tuple[str, str]] = Counter()
    for number, suite in enumerate(suites):
        given = ET.SubElement(root, "testsuite", {"name": _text(suite.name), "id": str(number)} | _counts(suite.cases))
        given.set("skipped", str(sum(case.kind == "skipped" for case in suite.cases)))
        # Its readers want a time without a zone.
        given.set("timestamp", _text(night.started).removesuffix("Z")[:19])
        given.set("hostname", _text(night.host))
        properties = ET.SubElement(given, "properties")
        for name, value in suite.properties.items():
            ET.SubElement(properties, "property", name=name, value=_text(value))
        for case in suite.cases:
            _write(given, suite.name, case, taken)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _write(suite: ET.Element, suite_name: str, case: _Case, taken: Counter[tuple[str, str]]) -> None:
    # A dot begins a package for those who show the cases as a tree.
    group = ".".join(_text(part).replace(".", "_") for part in (suite_name, case.group))
    name = _text(case.name)
    taken[group, name] += 1
    if taken[group, name] > 1:
        name = f"{name} ({taken[group, name]})"
    given = ET.SubElement(suite, "testcase", classname=group, name=name, time=f"{case.seconds:.3f}")
    if case.kind == "skipped":
        ET.SubElement(given, "skipped", message=_text(case.message))
    elif case.kind is not None:
        ET.SubElement(given, case.kind, type=case.what, message=_text(case.message)).text = _text(case.text)


def _suites(night: Night) -> list[_Suite]:
    absent = missing(night)
    names = dict.fromkeys(
        [
            *(one.name for one in night.devices),
            *(one.device for one in night.jobs),
            *(str(one["key"]["device"]) for one in night.verdicts),
        ]
    )
    suites = [_builds(night, absent)] if night.builds else []
    if night.problem:
        case = _Case("night", "judged", kind="error", what="ledger", message=night.problem, text="./inv ledger")
        suites.insert(0, _Suite(NIGHT, _night_properties(night), [case]))
    return suites + [_device(night, name, absent) for name in names]


def _builds(night: Night, absent: list[Missing]) -> _Suite:
    suite = _Suite(BUILDS, _night_properties(night))
    for one in night.builds:
        case = _Case(one.target, one.model, one.seconds or 0.0)
        if one.state == "failed" or one.problem:
            case.kind, case.what = "error", "build"
            case.message, case.text = one.problem or "it failed", one.remedy or ""
        suite.cases.append(case)
    return suite


def _night_properties(night: Night) -> dict[str, str]:
    return {"night": night.id, **({"commit": night.commit} if night.commit else {})}


def _device(night: Night, name: str, absent: list[Missing]) -> _Suite:
    suite = _Suite(name, _night_properties(night))
    for device in night.devices:
        if device.name == name:
            told = {"target": device.target, "state": device.state, "identity": device.identity}
            suite.properties |= {key: value for key, value in told.items() if value}
    suite.cases += [_job(one) for one in night.jobs if one.device == name]
    suite.cases += [
        _Case("device", "available", kind="error", what="device", message=one.problem, text=one.remedy)
        for one in absent
        if one.what == "device" and one.device == name
    ]
    worse = set(night.regressions)
    suite.cases += [
        _verdict(one, place in worse) for place, one in enumerate(night.verdicts) if str(one["key"]["device"]) == name
    ]
    return suite


def _job(job: JobNight) -> _Case:
    case = _Case(job.model, "measured", job.seconds or 0.0)
    if job.state not in DONE or job.problem:
        case.kind, case.what = "error", job.state
        case.message, case.text = job.problem or f"it was {job.state}", job.remedy or ""
    return case


def _verdict(verdict: Verdict, regression: bool) -> _Case:
    key, reason = verdict["key"], str(verdict["reason"])
    case = _Case(str(key["model"]), f"{key['variant']} ({key['runtime']}, {key['precision']}): {verdict['metric']}")
    if regression:
        report = verdict.get("report")
        case.kind, case.what, case.message = "failure", "regression", reason
        case.text = f"./inv ledger.show {report}" if report else ""
    elif verdict["verdict"] == "undecided" or verdict["worse"]:
        # Worse and no regression is the device's doing: no word on the model.
        case.kind, case.message = "skipped", reason
    return case


def _counts(cases: Iterable[_Case]) -> dict[str, str]:
    listed = list(cases)
    kinds = Counter(case.kind for case in listed)
    return {
        "tests": str(len(listed)),
        "failures": str(kinds["failure"]),
        "errors": str(kinds["error"]),
        "time": f"{sum(case.seconds for case in listed):.3f}",
    }


def _text(value: object) -> str:
    """Without what XML 1.0 has no way to write: control characters, halves of surrogate pairs, U+FFFE and U+FFFF."""
    return "".join("?" if c in "\ufffe\uffff" else c for c in printable(value))
