"""Whatever comes over the link, Device.measure ends in a report or in an error of ours: replayed, mutated, made up."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_agents.connect.base import MOST_LINE
from device_agents.errors import AgentFailed, AgentGarbled, AgentLost, DeviceBusy, EndlessOutput, LinkLost, NoRoom
from device_agents.farm.device import Device
from device_agents.farm.intake import MOST_STRANGE, Intake, Shown
from device_agents.farm.job import CANARY, Job, JobVariant, RemoteBundle
from device_agents.farm.report import Report
from edgewright.errors import EdgewrightError
from tests.device_agents.farm.jobs import Make, quick_job
from tests.device_agents.farm.replay import ENTRY, ReplayConnection, device_of, job_of, stream_of, written

JOB = job_of("a", "b", canary=True)
SANE = stream_of(JOB)
START, END = SANE[0], SANE[-1]


@pytest.fixture
def measure(tmp_path: Path) -> Callable[[bytes], Report]:
    """Runs JOB on a device that writes these bytes."""
    return lambda output: device_of(ReplayConnection(output), tmp_path).measure(JOB)


def test_sane_stream_gives_a_valid_report(measure: Callable[[bytes], Report]) -> None:
    report = measure(written(SANE))
    assert (report.valid, report.problems) == (True, [])
    assert [len(result["blocks"]) for result in report.results] == [4, 4]
    assert report.canary_model is not None and len(report.canary_model["blocks"]) == 4
    assert report.device["identity"] == "0123456789abcdef"
    assert Report.read(report.write(Path(str(report.journal and report.journal.path.parent)))) == report


def test_purpose_and_commit_reach_the_report(tmp_path: Path) -> None:
    job = JOB.model_copy(update={"purpose": "nightly"})
    report = device_of(ReplayConnection(written(SANE)), tmp_path).measure(job, commit="abc123")
    assert (report.purpose, report.commit) == ("nightly", "abc123")


def test_refused_job_gives_an_invalid_report_with_its_problems_first(measure: Callable[[bytes], Report]) -> None:
    problems = ["it is too hot before the job: 91.0 C, the limit is 80 C"]
    events = [{**START, "problems": problems}, {"kind": "refused", "problems": problems}, SANE[-2], END]
    report = measure(written(events))
    assert not report.valid
    assert report.problems[0] == problems[0] and report.problems.count(problems[0]) == 1
    assert [result["blocks"] for result in report.results] == [[], []]


def test_measured_all_the_same_in_a_bad_state_is_invalid(measure: Callable[[bytes], Report]) -> None:
    report = measure(written([{**START, "problems": ["capped clock before the job"]}, *SANE[1:]]))
    assert (report.valid, report.problems) == (False, ["capped clock before the job"])


@pytest.mark.parametrize(
    ("events", "error"),
    [
        pytest.param([], AgentLost, id="nothing"),
        pytest.param(SANE[:-1], AgentLost, id="no end"),
        pytest.param([END], AgentGarbled, id="an end alone"),
        pytest.param(SANE[1:], AgentGarbled, id="no start"),
        pytest.param([{**END, "ok": False}], AgentFailed, id="an end that says nothing"),
        pytest.param([{**END, "ok": False, "errno": 28, "message": ["x"]}], AgentLost, id="an end of another type"),
        pytest.param([{**END, "ok": False, "errno": 28, "message": "x"}], NoRoom, id="no room"),
        pytest.param([{**END, "ok": False, "error": "busy", "holder": {"who": [1]}}], DeviceBusy, id="busy"),
        pytest.param([{**END, "ok": False}, END], AgentFailed, id="two ends"),
    ],
)
def test_job_that_did_not_end_well_is_told(
    measure: Callable[[bytes], Report], events: list[dict[str, Any]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        measure(written(events))


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([START, *SANE], id="two starts"),
        pytest.param([SANE[-2], *SANE], id="a state before the start"),
        pytest.param([next(e for e in SANE if e["kind"] == "block"), *SANE], id="a block before the start"),
        pytest.param([*SANE, next(e for e in SANE if e["kind"] == "block")], id="a block after the end"),
        pytest.param([*SANE[:-1], {**SANE[3], "name": "another's"}, END], id="an unknown variant"),
        pytest.param([*SANE[:-1], {"kind": "block"}, END], id="an empty block"),
    ],
)
def test_events_out_of_turn_make_the_report_invalid(
    measure: Callable[[bytes], Report], events: list[dict[str, Any]]
) -> None:
    report = measure(written(events))
    expected = events[0]["kind"] == "state"  # early, but no measurement
    assert report.valid is expected
    assert expected or "malformed or out of turn" in report.problems[0]


def test_beats_may_come_at_any_time(measure: Callable[[bytes], Report]) -> None:
    beat = {"kind": "beat"}
    assert measure(written([beat, *SANE, beat])).problems == []


def test_banner_of_a_login_is_a_warning(measure: Callable[[bytes], Report]) -> None:
    report = measure(b"\nwelcome\r\n{}\n" + written(SANE) + b"bye\n")
    assert report.valid
    assert any("4 lines of the agent's output were not its own" in text for text in report.warnings)


@pytest.mark.parametrize(
    "line",
    [b"\x1b[31mgo away\x1b[0m\n", b'{"kind":"block"}\n', b"\n", b"x" * 100_000 + b"\n"],
    ids=["chatter", "malformed", "empty", "long"],
)
def test_too_many_strange_lines_end_the_job(tmp_path: Path, line: bytes) -> None:
    def endless() -> Iterator[bytes]:
        yield written([START])
        while True:
            yield line * 20

    with pytest.raises(AgentGarbled) as caught:
        device_of(ReplayConnection(endless), tmp_path).measure(JOB)
    assert "./inv devices.setup pi" in caught.value.remedy
    assert caught.value.where.isprintable() and len(caught.value.where) <= 120


def test_strange_lines_are_bounded_in_number_and_in_bytes() -> None:
    intake = Intake(ENTRY, JOB)
    for _ in range(MOST_STRANGE):
        assert intake.take(b"x") is None
    with pytest.raises(AgentGarbled, match="1001 lines"):
        intake.take(b"x")
    intake, megabytes = Intake(ENTRY, JOB), 0
    with pytest.raises(AgentGarbled):
        while megabytes < 50:
            intake.take(b"x" * 1_000_000)
            megabytes += 1
    assert megabytes == 16


def test_sound_events_without_end_end_the_job_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agents.farm.intake.MOST_BYTES", 1 << 20)

    def endless() -> Iterator[bytes]:
        yield written([START])
        while True:
            yield written([{"kind": "canary", "process": 0, "round": 0, "when": "before", "ns": 5}]) * 50

    with pytest.raises(AgentGarbled, match="more than any job"):
        device_of(ReplayConnection(endless), tmp_path).measure(JOB)


def test_line_without_end_takes_no_more_memory_than_a_line_may(tmp_path: Path) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * (1 << 20)

    device = device_of(ReplayConnection(endless), tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(EndlessOutput):
            device.measure(JOB)
        assert tracemalloc.get_traced_memory()[1] < 6 * MOST_LINE
    finally:
        tracemalloc.stop()


def test_link_that_breaks_after_the_closing_marker_loses_nothing(tmp_path: Path) -> None:
    assert device_of(ReplayConnection(written(SANE), -1, alive=False), tmp_path).measure(JOB).valid


def test_link_that_breaks_before_it_loses_the_job(tmp_path: Path) -> None:
    with pytest.raises(LinkLost):
        device_of(ReplayConnection(written(SANE[:-1]), -1, alive=False), tmp_path).measure(JOB)


LOOK = {"kind": "look", "processes": 2}


def test_look_is_answered_with_what_the_caller_wants_more(tmp_path: Path) -> None:
    extra = [event | {"process": 2} for event in SANE if event.get("process") == 1]
    at = next(number for number, event in enumerate(SANE) if event["kind"] == "memory")
    connection = ReplayConnection(written([*SANE[:at], LOOK, *extra, LOOK, *SANE[at:]]))
    seen: list[int] = []

    def more(results: list[dict[str, Any]]) -> int:
        seen.append(len(results[0]["blocks"]))
        return 1 if len(seen) == 1 else 0

    report = device_of(connection, tmp_path).measure(JOB, more=more)
    assert seen == [4, 6]
    assert [line for line in connection.heard if b"more" in line] == [b'{"more":1}\n', b'{"more":0}\n']
    assert report.valid
    assert len(report.results[0]["blocks"]) == 6


def test_look_without_a_caller_who_wants_more_is_answered_with_none(tmp_path: Path) -> None:
    connection = ReplayConnection(written([*SANE[:-2], LOOK, *SANE[-2:]]))
    assert device_of(connection, tmp_path).measure(JOB).valid
    assert b'{"more":0}\n' in connection.heard


@pytest.mark.parametrize(
    "hello",
    [{}, {"python": "3.11"}, {"python": [3, 11], "root": "/x\x1b[2J"}, {"root": 7}, {"libc": ["glibc"]}, {"bits": -1}],
    ids=str,
)
def test_hello_that_is_none_is_told(tmp_path: Path, hello: dict[str, Any]) -> None:
    connection = ReplayConnection(b"")
    connection.hello = {**connection.hello, **hello} if hello else {"ok": True}
    with pytest.raises(AgentGarbled):
        device_of(connection, tmp_path)


@pytest.mark.parametrize("command", ["probe", "holder", "sizes", "erase"])
@pytest.mark.parametrize("said", [b"", b"7", b"[1]", b'{"facts": 1}', b'{"bytes": {"a": "b"}}', b"{" * 50_000])
def test_answer_that_is_none_is_told(tmp_path: Path, command: str, said: bytes) -> None:
    device = device_of(ReplayConnection(said + b"\n" + written([END])), tmp_path)
    with pytest.raises(AgentGarbled, match="answered what no agent answers"):
        getattr(device, command)()


def test_answer_is_made_harmless(tmp_path: Path) -> None:
    told = {"kind": "probe", "facts": {"board": "\x1b[2Jx"}, "state": {"throttled": "all"}}
    found = device_of(ReplayConnection(b"motd\n" + written([told, END])), tmp_path).probe()
    assert found == {"facts": {"board": " [2Jx"}, "state": {"throttled": None, "garbled": ["throttled"]}}


# Fuzz: the same path as a job's.


def _check(device: Device, job: Job) -> None:
    """A report that can be written, valid only with blocks that a sane agent writes; or an error of ours."""
    try:
        report = device.measure(job)
    except EdgewrightError as error:
        assert all(line.isprintable() for line in str(error).splitlines())
        return
    assert report.journal is not None
    report.journal.done()
    data = json.dumps(report.to_json(), allow_nan=False)
    assert len(data) < 5_000_000
    assert all(text.isprintable() for text in report.problems + report.warnings)
    if not report.valid:
        return
    for result in report.results:
        places = [(block["process"], block["round"]) for block in result["blocks"]]
        assert 0 < len(set(places)) == len(places)
        assert all(process < job.processes and number < job.blocks for process, number in places)
        for block in result["blocks"]:
            assert block["batch"] >= 1 and block["samples_ns"] and min(block["samples_ns"]) >= 1


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_VALUES = _SCALARS | st.lists(_SCALARS, max_size=3) | st.dictionaries(st.text(max_size=5), _SCALARS, max_size=3)


@st.composite
def _mutated(draw: st.DrawFn, events: list[dict[str, Any]]) -> bytes:
    """A stream of a sane agent in which events were dropped, doubled, moved, changed, or cut in their bytes."""
    events = list(events)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(events) - 1))
        how = draw(st.sampled_from(["drop", "double", "move", "change", "change", "remove"]))
        if how == "drop" and len(events) > 1:
            del events[at]
        elif how == "double":
            events.insert(draw(st.integers(0, len(events))), events[at])
        elif how == "move":
            events.insert(draw(st.integers(0, len(events) - 1)), events.pop(at))
        elif key := draw(st.sampled_from(sorted(events[at])) if events[at] else st.none()):
            changed = dict(events[at])
            if how == "remove":
                del changed[key]
            else:
                changed[key] = draw(_VALUES)
            events[at] = changed
    output = written(events)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(output)))
        output = output[:at] + draw(st.binary(max_size=8)) + output[at + draw(st.integers(0, 8)) :]
    return output


_FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@_FUZZ
@given(_mutated(SANE))
def test_mutated_stream_gives_a_sane_report_or_an_error_of_ours(tmp_path: Path, output: bytes) -> None:
    _check(device_of(ReplayConnection(output), tmp_path), JOB)


@_FUZZ
@given(
    st.lists(st.dictionaries(st.text(max_size=5), _VALUES, max_size=4) | _VALUES, max_size=8), st.binary(max_size=40)
)
def test_any_json_or_bytes_give_an_error_of_ours(tmp_path: Path, values: list[Any], rest: bytes) -> None:
    output = b"".join(json.dumps(value).encode() + b"\n" for value in values) + rest
    with pytest.raises(EdgewrightError):
        device_of(ReplayConnection(output), tmp_path).measure(JOB)


@pytest.mark.slow
def test_mutated_stream_of_a_real_agent_gives_a_sane_report_or_an_error_of_ours(
    device: Device, bundle: Make, tmp_path: Path
) -> None:
    job = quick_job(device, bundle("a"), bundle("b", width=16), settle_s=0.0)
    report = device.measure(job)
    assert report.journal is not None
    lines = report.journal.path.read_bytes().splitlines()[1:]
    events = [json.loads(line[1:]) for line in lines if line.startswith(b"<")]
    assert not any("malformed" in problem for problem in report.problems)

    @settings(_FUZZ, max_examples=300)
    @given(_mutated(events))
    def check(output: bytes) -> None:
        _check(device_of(ReplayConnection(output), tmp_path), job)

    check()


class _Seen:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.steps = 0.0

    def start(self, what: str, total: float) -> None:
        self.pieces.append(what)

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.steps += amount

    def finish(self) -> None:
        self.pieces.append("finished")


def test_wait_is_shown_with_its_reason_and_then_the_measurement(tmp_path: Path) -> None:
    bundle = RemoteBundle(digest="0" * 64, path="/b")
    seen = _Seen()
    with Shown(seen, Job(model="m", target="t", variants=[JobVariant(name="a", bundle=bundle)])) as shown:
        for seconds in (0.0, 2.0):
            shown.take({"kind": "waiting", "reason": "too hot", "seconds": seconds})
        shown.take({"kind": "start"})
        shown.take({"kind": "block", "name": "a", "kept": False})
        shown.take({"kind": "block", "name": "a", "kept": True})
        shown.take({"kind": "block", "name": CANARY, "kept": True})
    assert seen.pieces == ["measure", "waiting (too hot)", "measure", "finished"]
    assert seen.steps == 1.0
