"""How long a job is expected to take: as it did in the newest night that measured it, else by its protocol."""

from __future__ import annotations

from device_agents.farm.night.expected import Expected, estimate_s
from device_agents.farm.night.record import JobNight, JobState, Night
from tests.device_agents.farm.night.test_record import made


def _night(seconds: float, state: JobState = "measured", variants: int = 2) -> Night:
    digests = {str(place): "0" * 64 for place in range(variants)}
    job = JobNight(id="pi/m", device="pi", target="t", model="m", variants=digests, state=state, seconds=seconds)
    return made(jobs=(job,))


def test_newest_night_tells_how_long() -> None:
    expected = Expected([_night(50.0), _night(70.0), _night(9.0, "failed"), _night(0.0, "known")])
    assert expected.seconds("pi", "m", 2) == 70.0


def test_another_number_of_variants_device_or_model_is_estimated() -> None:
    expected = Expected([_night(50.0)])
    for device, model, variants in (("pi", "m", 3), ("pi", "n", 2), ("pi2", "m", 2)):
        assert expected.seconds(device, model, variants) == estimate_s(variants)


def test_estimate_grows_with_the_variants() -> None:
    assert 0 < estimate_s(1) < estimate_s(2) < estimate_s(12)
