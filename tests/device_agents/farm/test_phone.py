"""A phone by adb: what it measures with benchmark_model, its lock, and what goes wrong there in mid-job."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle, Tensor, write_bundle
from device_agents.connect import connect
from device_agents.errors import DeviceBusy, DeviceError, DeviceFolderError, LinkLost, RuntimeUnavailable
from device_agents.farm.assemble import MEANS, NO_ACCURACY
from device_agents.farm.inventory import DeviceEntry, Inventory
from device_agents.farm.job import Job, JobVariant
from device_agents.farm.opening import open_any
from device_agents.farm.paired import latency, speedup
from device_agents.farm.phone import Phone
from device_agents.farm.recovery import RECOVERED, recover
from device_agents.farm.report import Report
from device_agents.farm.setup import setup, undo
from device_agents.farm.trust import next_untrusted
from edgewright.progress import Silent
from targets.schema import Runtime, read_target
from tests.device_agents.farm.jobs import wait_until
from tests.device_agents.tiny import tiny_manifest
from tests.doubles.phone import PhoneDouble, declare
from tests.prerequisites import require

pytestmark = [pytest.mark.device, pytest.mark.slow]

MODEL = Path(__file__).parents[1] / "agent" / "recorded" / "tflite" / "float32.tflite"


@pytest.fixture
def double(tmp_path: Path) -> Iterator[PhoneDouble]:
    """A phone of this test's own, to be spoiled."""
    require(shutil.which("adb"), "adb is not installed: apt-get install adb")
    pytest.importorskip("ai_edge_litert", reason="the double's benchmark_model runs on ai-edge-litert")
    with PhoneDouble(tmp_path / "it's a phone") as found:
        yield found


@pytest.fixture
def phone(double: PhoneDouble) -> Iterator[Phone]:
    with _open(double.entry()) as found:
        yield found


def _open(entry: DeviceEntry) -> Phone:
    found = open_any(entry, state=Path(os.environ["EDGEWRIGHT_STATE"]))
    assert isinstance(found, Phone)
    return found


def _bundle(folder: Path, name: str = "tiny", model: Path = MODEL) -> Bundle:
    manifest = tiny_manifest(
        name,
        target="android",
        format="tflite",
        runtime="benchmark_model",
        file="model.tflite",
        inputs=[Tensor(name="x", dtype="float32", shape=[1, 8, 6, 3])],
        outputs=[Tensor(name="y", dtype="float32", shape=[1, 4])],
    )
    return write_bundle(folder / name, model, manifest)


def _job(phone: Phone, *bundles: Bundle, **changes: Any) -> Job:
    variants = [
        JobVariant(name=one.manifest.name, bundle=phone.install(one.folder), format="tflite", runtime="benchmark_model")
        for one in bundles
    ]
    quick = {"processes": 1, "blocks": 1, "block_seconds": 0.02, "warmup_seconds": 0.02, "block_limit_seconds": 2.0}
    return Job(**{"model": "tiny", "target": "android", "variants": variants, **quick, **changes})


def _check_measured(report: Report) -> None:
    """Everything was measured; that this machine was busy meanwhile is no fault of the phone's."""
    assert [result["error"] for result in report.results] == [None] * len(report.results)
    assert all(result["blocks"] for result in report.results)
    busy = ("others took", "slower in the job", "slower than its own best")
    assert [one for one in report.problems if not any(word in one for word in busy)] == []


def test_measure_gives_a_report_of_means(phone: Phone, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    job = _job(phone, _bundle(tmp_path, "a"), _bundle(tmp_path, "b"), blocks=2)
    report = phone.measure(job, events.append)
    _check_measured(report)
    kept = [event["name"] for event in events if event["kind"] == "block" and event["kept"]]
    assert kept == ["a", "b", "b", "a"]
    for result in report.results:
        found = latency(result)
        assert found is not None and found.n == 2 and found.p50_ms > 0
        assert result["providers"] == ["XNNPACK"]
        assert result["loads"][0]["load_ns"] > 0 and result["loads"][0]["first_ns"] > 0
        assert result["peak_bytes"] > 0
        assert result["accuracy"] is None and result["error"] is None
        assert all(block["batch"] >= 20 for block in result["blocks"])
    assert speedup(report.results[0], report.results[1]) is not None
    assert MEANS in report.warnings and NO_ACCURACY in report.warnings
    assert report.runtime["name"] == "benchmark_model" and report.runtime["providers"] == ["XNNPACK"]
    assert report.facts["machine"] == os.uname().machine and report.facts["python"] is None
    assert report.state_before["battery"] == {"level_percent": 83, "temperature_c": 27.1, "charging": True}
    assert report.state_after["boot_id"] == report.state_before["boot_id"]
    assert report.state_before["thermal_status"] == 0
    assert report.state_before["temperatures"]["skin"] == 26.1
    assert report.facts["android"]["model"] == "Pixel 6"
    assert len(report.canary) == 4
    assert Report.read(report.write(tmp_path)).to_json() == report.to_json()
    assert phone.holder() is None


def test_phones_report_that_was_never_written_is_recovered(double: PhoneDouble, tmp_path: Path) -> None:
    connection, root = connect(double.entry(), tmp_path)
    with Phone(double.entry(), connection, root, state=tmp_path / "state") as phone:
        report = phone.measure(_job(phone, _bundle(tmp_path)))
    assert report.journal is not None
    report.journal.close()
    (found,) = recover(tmp_path / "state")
    expected, told = report.to_json(), found.to_json()
    assert told.pop("warnings") == [*expected.pop("warnings"), RECOVERED]
    assert told.pop("finished") <= expected.pop("finished")
    assert told == expected


def test_phone_asks_for_more_and_measures_it(phone: Phone, tmp_path: Path) -> None:
    seen: list[int] = []

    def more(results: list[dict[str, Any]]) -> int:
        seen.append(len(results[0]["blocks"]))
        return 1 if len(seen) == 1 else 0

    report = phone.measure(_job(phone, _bundle(tmp_path), ask=True), more=more)
    _check_measured(report)
    assert seen == [1, 2]
    assert [block["process"] for block in report.results[0]["blocks"]] == [0, 1]


def test_measure_pins_to_the_cores_that_are_asked_for(phone: Phone, tmp_path: Path) -> None:
    report = phone.measure(_job(phone, _bundle(tmp_path), cpus=[0]))
    assert report.cpus == [0]
    assert "the workers could not be pinned to cores" not in report.warnings
    assert report.others_cpu_share is not None
    assert 0 <= report.others_cpu_share <= 1


def test_what_is_there_is_not_sent_again(double: PhoneDouble, tmp_path: Path) -> None:
    made = _bundle(tmp_path)
    with _open(double.entry()) as phone:
        first = phone.install(made.folder)
    before = double.phone.received
    with _open(double.entry()) as phone:
        assert phone.install(made.folder) == first
    assert double.phone.received - before < 4000


def test_only_benchmark_model_is_available_and_the_others_say_why(phone: Phone) -> None:
    named = Runtime(name="benchmark_model", source="device"), Runtime(name="onnxruntime", source="device")
    ready, left_out = phone.available(named)
    assert set(ready) == {"benchmark_model"}
    assert "Termux" in left_out["onnxruntime"]
    with pytest.raises(RuntimeUnavailable, match="Termux"):
        phone.available(named[1:])


def test_phone_without_benchmark_model_says_where_it_is_from(tmp_path: Path) -> None:
    require(shutil.which("adb"), "adb is not installed: apt-get install adb")
    with PhoneDouble(tmp_path / "phone", benchmark_model=False) as double, _open(double.entry()) as phone:
        with pytest.raises(RuntimeUnavailable, match="There is no benchmark_model") as caught:
            phone.prepare("benchmark_model")
        assert "android_aarch64_benchmark_model" in caught.value.remedy


def test_benchmark_model_of_farm_toml_is_put_there_once(tmp_path: Path) -> None:
    require(shutil.which("adb"), "adb is not installed: apt-get install adb")
    with PhoneDouble(tmp_path / "phone", benchmark_model=False) as double:
        local = double.add_benchmark_model(tmp_path / "own_build")
        entry = double.entry().model_copy(update={"benchmark_model": local})
        for sent in (True, False):
            with _open(entry) as phone:
                assert phone.prepare("benchmark_model").sent is sent
        lost = entry.model_copy(update={"benchmark_model": tmp_path / "nowhere"})
        with _open(lost) as phone, pytest.raises(RuntimeUnavailable, match="is not there"):
            phone.prepare("benchmark_model")


def test_benchmark_model_for_another_processor_is_told(double: PhoneDouble, phone: Phone) -> None:
    # An ELF header of a machine that no kernel knows.
    program = double.root.parent / "benchmark_model"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xff\xff" + bytes(44))
    with pytest.raises(RuntimeUnavailable, match="does not run") as caught:
        phone.prepare("benchmark_model")
    assert str(program) in caught.value.where


def test_measure_refuses_a_model_that_was_damaged_on_the_phone(phone: Phone, tmp_path: Path) -> None:
    job = _job(phone, _bundle(tmp_path, "whole"), _bundle(tmp_path, "damaged"), _bundle(tmp_path, "changed"))
    model = Path(job.variants[1].bundle.path, "model.tflite")
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    manifest = Path(job.variants[2].bundle.path, "manifest.json")
    manifest.write_text(manifest.read_text().replace("model.tflite", "other.tflite"))
    whole, damaged, changed = phone.measure(job).results
    assert whole["error"] is None and whole["blocks"]
    assert "corrupted" in damaged["error"] and not damaged["blocks"]
    assert "not the one that was sent" in changed["error"] and not changed["blocks"]


def test_measure_names_what_does_not_load_and_goes_on(phone: Phone, tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"this is no model")
    bad = _bundle(tmp_path, "bad", tmp_path / "bad.tflite")
    job = _job(phone, bad, _bundle(tmp_path, "good"))
    foreign = job.variants[1].model_copy(update={"name": "foreign", "runtime": "onnxruntime"})
    report = phone.measure(job.model_copy(update={"variants": [*job.variants, foreign]}))
    found = {result["name"]: result for result in report.results}
    assert "benchmark_model failed" in found["bad"]["error"]
    assert "Termux" in found["foreign"]["error"]
    assert found["good"]["error"] is None and found["good"]["blocks"]
    assert not report.valid


def test_measure_keeps_to_its_limits(phone: Phone, tmp_path: Path) -> None:
    job = _job(phone, _bundle(tmp_path), memory_limit_bytes=1000)
    assert "the limit is 1000" in phone.measure(job).results[0]["error"]
    late = phone.measure(job.model_copy(update={"memory_limit_bytes": None, "time_limit_s": 0.01}))
    assert "time limit" in late.results[0]["error"]


def test_phone_in_use_is_busy_and_tells_by_whom(double: PhoneDouble, phone: Phone, tmp_path: Path) -> None:
    job = _job(phone, _bundle(tmp_path))
    started, done = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def hold(event: dict[str, Any]) -> None:
        started.set()
        done.wait(30)

    def first() -> None:
        try:
            with _open(double.entry()) as other:
                other.measure(job, hold)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert started.wait(30)
        with pytest.raises(DeviceBusy, match="tiny > android") as caught:
            phone.measure(job)
        assert caught.value.holder["who"]
        assert (phone.holder() or {})["what"] == "tiny > android"
        threading.Timer(0.3, done.set).start()
        _check_measured(phone.measure(job.model_copy(update={"wait_s": 30.0})))
    finally:
        done.set()
        thread.join(30)
    assert errors == []


def test_phone_unplugged_in_mid_run_loses_nothing_but_the_run(double: PhoneDouble, tmp_path: Path) -> None:
    with _open(double.entry()) as phone:
        job = _job(phone, _bundle(tmp_path), blocks=50)

        def unplug(event: dict[str, Any]) -> None:
            if event["kind"] == "block":
                double.phone.unplug()

        with pytest.raises(LinkLost) as caught:
            phone.measure(job, unplug)
    assert "run the same command again" in caught.value.remedy
    double.phone.plug()
    with _open(double.entry()) as phone:
        wait_until(lambda: phone.holder() is None, "the lock is free")
        _check_measured(phone.measure(job.model_copy(update={"blocks": 1})))


def test_host_killed_in_mid_run_frees_the_phone(double: PhoneDouble, tmp_path: Path) -> None:
    farm = tmp_path / "farm.toml"
    declare(double, farm, "pixel")
    with _open(Inventory.read(farm).named("pixel")) as phone:
        job = _job(phone, _bundle(tmp_path), blocks=50, block_seconds=0.5)
        program = (
            "import sys; from pathlib import Path\n"
            "from device_agents.farm.inventory import Inventory; from device_agents.farm.job import Job\n"
            "from device_agents.farm.opening import open_any\n"
            "with open_any(Inventory.read(Path(sys.argv[1])).named('pixel')) as phone:\n"
            "    phone.measure(Job.model_validate_json(sys.argv[2]), lambda event: print(event['kind'], flush=True))\n"
        )
        host = subprocess.Popen(
            [sys.executable, "-c", program, str(farm), job.model_dump_json()], stdout=subprocess.PIPE, text=True
        )
        assert host.stdout
        for line in host.stdout:
            if line.strip() == "block":
                break
        assert phone.holder() is not None
        host.send_signal(signal.SIGKILL)
        host.wait()
        host.stdout.close()
        wait_until(lambda: phone.holder() is None, "the lock is free")


def test_folder_that_cannot_be_written_is_told(double: PhoneDouble) -> None:
    (double.folder / "file").write_text("")
    with pytest.raises(DeviceFolderError) as caught:
        open_any(double.entry().model_copy(update={"root": str(double.folder / "file" / "x")}))
    assert "/data/local/tmp/edgewright" in caught.value.remedy


def test_probe_tells_what_the_phone_is(phone: Phone) -> None:
    found = phone.probe()
    assert found["facts"]["cores"] == os.cpu_count()
    assert found["facts"]["memory_bytes"] > 0
    assert found["state"]["disk_free_bytes"] > 0
    assert found["state"]["load1"] >= 0


def test_setup_says_what_lies_there_and_undo_takes_what_is_ours(double: PhoneDouble, tmp_path: Path) -> None:
    local = double.add_benchmark_model(tmp_path / "own_build")
    entry = double.entry().model_copy(update={"benchmark_model": local})
    target = read_target("android", tmp_path)
    lines = setup(entry, target, tmp_path, tmp_path, Silent())
    assert any("benchmark_model" in line and "works" in line and "sent just now" in line for line in lines)
    assert any("left out" in line and "Termux" in line for line in lines)
    assert any("was there" in line for line in setup(entry, target, tmp_path, tmp_path, Silent()))
    with _open(entry) as phone:
        phone.install(_bundle(tmp_path).folder)
        assert {"bin", "bundles"} <= set(phone.sizes()[0])
    (double.root / "their own").write_text("")
    assert "their own" in "\n".join(undo(entry, tmp_path, tmp_path, Silent()))
    assert [path.name for path in double.root.iterdir()] == ["their own"]
    (double.root / "their own").unlink()
    undo(entry, tmp_path, tmp_path, Silent())
    assert not double.root.exists()


def test_trusting_a_phone_is_the_phone_s_own_question(double: PhoneDouble) -> None:
    with pytest.raises(DeviceError, match="the phone itself asks"):
        next_untrusted(double.entry())


def test_hot_phone_is_waited_for_and_refused_where_it_stays_hot(
    double: PhoneDouble, phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hot = {"thermal_status": 3, "throttled": None, "temperature_c": 41.0}
    monkeypatch.setattr("device_agents.farm.phonesession.probe_phone", lambda shell, root: ({}, dict(hot)))
    events: list[dict[str, Any]] = []
    job = _job(phone, _bundle(tmp_path)).model_copy(update={"settle_s": 1.0, "on_bad_state": "refuse"})
    report = phone.measure(job, events.append)
    assert [event["kind"] for event in events if event["kind"] in ("waiting", "start", "refused")][-1] == "refused"
    assert "waiting" in {event["kind"] for event in events}
    assert not report.valid and "the thermal status was 3 before the job" in report.problems
    assert report.waited_s is not None and report.waited_s >= 1.0
    assert report.results[0]["blocks"] == []
