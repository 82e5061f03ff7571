"""A night over a made-up farm: what is sent where, what is gone around, and what its record says of the rest."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.errors import DeviceBusy, DeviceUnreachable, HostKeyChanged, LinkLost, NoRoom
from device_agents.farm.night.record import JobNight, Night
from device_agents.farm.night.retry import Again, Retry
from device_agents.farm.reserve import DeviceReserved
from pipeline.nightly import tonight as nights
from pipeline.nightly.endings import failed_devices
from pipeline.nightly.known import Known
from pipeline.nightly.visit import Seen
from tests.pipeline.nightly.farm import DIGESTS, FARM, Farm, answer, farm_in, report


class AtOnce(Retry):
    """Tries again what the real one does, without its pauses."""

    def after(self, error: BaseException, piece: str, attempt: int, rests: int = 0) -> Again | None:
        again = super().after(error, piece, attempt, rests)
        return again and Again(0.0, again.rests)


@pytest.fixture
def farm(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    monkeypatch.setattr(nights, "Retry", AtOnce)
    with farm_in(tmp_path / "project", state, monkeypatch) as found:
        yield found


def jobs(night: Night, device: str | None = None) -> dict[str, JobNight]:
    return {job.id: job for job in night.jobs if device in (None, job.device)}


def states(night: Night, device: str) -> Counter[str]:
    return Counter(job.state for job in jobs(night, device).values())


def device_state(night: Night, name: str) -> str:
    return next(one.state for one in night.devices if one.name == name)


def test_every_model_is_measured_on_every_device_of_its_target(farm: Farm) -> None:
    done, night = farm.run()
    assert done
    assert {job.state for job in night.jobs} == {"measured"}
    assert sorted(farm.jobs) == sorted(jobs(night))
    assert all(job.variants == DIGESTS and job.report and job.attempts == 1 for job in night.jobs)
    assert [(one.state, one.jobs, one.measured) for one in night.devices] == [("healthy", 2, 2)] * 3
    assert len(night.builds) == 4
    assert sum("measured" in line for line in farm.said) == 6


@pytest.mark.parametrize("becomes", ["reserved", "replaced", "quarantined", "unfit"])
def test_device_that_is_not_fit_is_gone_around_with_the_reason(farm: Farm, becomes: str) -> None:
    farm.seen["pi1"] = Seen(becomes, "cd" * 8, "for a reason", "do this")  # type: ignore[arg-type]
    _, night = farm.run()
    assert states(night, "pi1") == {"skipped": 2}
    assert {job.problem for job in jobs(night, "pi1").values()} == {f"{becomes}: for a reason"}
    assert device_state(night, "pi1") == becomes
    assert states(night, "pi2") == states(night, "box") == {"measured": 2}
    assert not any(id.startswith("pi1") for id in farm.jobs)


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (DeviceUnreachable("off"), "unreachable"),
        (LinkLost("gone"), "unreachable"),
        (HostKeyChanged("another key"), "unfit"),
        (DeviceReserved("ada has it"), "reserved"),
    ],
)
def test_device_that_cannot_be_opened_is_told_from_one_that_is_away(
    farm: Farm, error: BaseException, becomes: str
) -> None:
    farm.seen["pi1"] = error
    _, night = farm.run()
    assert device_state(night, "pi1") == becomes
    assert states(night, "pi1") == {"skipped": 2}
    assert states(night, "pi2") == {"measured": 2}


def test_what_was_not_built_is_skipped_everywhere_and_the_rest_measured(farm: Farm) -> None:
    failed = {"state": "failed", "variants": (), "problem": "no extra", "remedy": "./inv setup text"}
    farm.builds["digits", "raspberry-pi"] = answer("digits", "raspberry-pi", **failed)
    _, night = farm.run()
    found = jobs(night)
    assert {id for id, job in found.items() if job.state == "skipped"} == {"pi1/digits", "pi2/digits"}
    assert found["pi1/digits"].problem == "not built: no extra"
    assert found["pi1/digits"].remedy == "./inv setup text"


def test_lost_link_is_tried_again_and_counted(farm: Farm) -> None:
    farm.job = lambda device, model, attempt: LinkLost("gone") if (device, attempt) == ("pi1", 1) else None
    _, night = farm.run()
    assert states(night, "pi1") == {"measured": 2}
    assert {job.attempts for job in jobs(night, "pi1").values()} == {2}
    assert all(job.problem is None for job in night.jobs)


def test_device_that_dies_takes_only_its_own_jobs_along(farm: Farm) -> None:
    farm.job = lambda device, model, attempt: DeviceUnreachable("off") if device == "pi1" else None
    done, night = farm.run()
    assert done
    assert device_state(night, "pi1") == "died"
    assert states(night, "pi1") == {"failed": 1, "skipped": 1}
    assert states(night, "pi2") == states(night, "box") == {"measured": 2}


def test_device_that_stays_busy_says_so(farm: Farm) -> None:
    farm.job = lambda device, model, attempt: DeviceBusy("bob measures") if device == "pi1" else None
    _, night = farm.run()
    assert device_state(night, "pi1") == "busy"
    assert states(night, "pi1") == {"failed": 2}


def test_device_reserved_in_mid_night_is_no_failure_of_its_own(farm: Farm) -> None:
    farm.job = lambda device, model, attempt: DeviceReserved("ada has it") if device == "pi1" else None
    _, night = farm.run()
    assert device_state(night, "pi1") == "reserved"


def test_invalid_report_is_filed_and_told(farm: Farm) -> None:
    farm.job = lambda device, model, attempt: report(device, model, "raspberry-pi", valid=False, problems=["throttled"])
    _, night = farm.run()
    assert {(job.state, job.problem) for job in night.jobs} == {("invalid", "throttled")}
    assert all(job.report for job in night.jobs)


def test_variant_that_failed_is_said_of_a_measured_job(farm: Farm) -> None:
    def job(device: str, model: str, attempt: int) -> object:
        found = report(device, model, "raspberry-pi")
        found.results[1]["error"] = "killed"
        return found

    farm.job = job  # type: ignore[assignment]
    _, night = farm.run()
    assert {(job.state, job.problem) for job in night.jobs} == {("measured", "int8: killed")}


def test_what_this_night_has_measured_before_is_not_measured_again(farm: Farm) -> None:
    done = [report("pi1", "resnet8", "raspberry-pi"), report("pi2", "resnet8", "raspberry-pi", identity="cd" * 8)]
    _, night = farm.run(Known(done))
    found = jobs(night)
    assert (found["pi1/resnet8"].state, found["pi1/resnet8"].report) == ("known", done[0].id)
    assert found["pi2/resnet8"].state == "measured", "another board gave that report"
    assert "pi1/resnet8" not in farm.jobs
    assert next(one.measured for one in night.devices if one.name == "pi1") == 2


def test_deadline_that_has_passed_measures_nothing_and_says_so(farm: Farm) -> None:
    done, night = farm.run(until=0.0)
    assert done and farm.jobs == []
    assert {job.state for job in night.jobs} == {"skipped"}
    assert all("deadline" in (job.problem or "") for job in night.jobs)


def test_device_whose_target_cannot_be_read_is_unfit_and_no_other(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = FARM.replace('"linux-x86_64"', '"no-such-kind"')
    with farm_in(tmp_path / "odd", state, monkeypatch, odd) as farm:
        _, night = farm.run()
    assert device_state(night, "box") == "unfit"
    assert states(night, "box") == {"skipped": 2}
    assert states(night, "pi1") == {"measured": 2}


def test_ctrl_c_leaves_what_is_measured_and_lets_the_rest_wait(farm: Farm) -> None:
    def job(device: str, model: str, attempt: int) -> BaseException | None:
        if len(farm.jobs) < 3:
            return None
        os.kill(os.getpid(), signal.SIGINT)
        assert farm.stopped.wait(30), "nothing ends the jobs that run"
        return LinkLost("cut off")

    farm.job = job
    done, night = farm.run(parallel=1)
    assert not done
    assert Counter(job.state for job in night.jobs) == {"measured": 2, "waiting": 4}


def test_who_is_held_responsible(farm: Farm) -> None:
    farm.seen["box"] = DeviceUnreachable("off")
    farm.job = lambda device, model, attempt: NoRoom("full") if (device, model) == ("pi1", "digits") else None
    _, night = farm.run()
    failed = failed_devices(night)
    assert failed == {"box": ("off", True), "pi1": ("full", False)}
