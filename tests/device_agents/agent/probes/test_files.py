"""Readers of sysfs: power rails in both of NVIDIA's forms, thermal zones, cpufreq."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.agent.probes import ina3221, linux
from device_agents.agent.probes.source import Garbled, decimal, number
from tests.device_agents.agent.trees import write

IIO = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"


def test_rails_of_jetpack_4_are_iio_files(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            f"{IIO}/rail_name_0": "POM_5V_IN\n",
            f"{IIO}/in_voltage0_input": "5000\n",
            f"{IIO}/in_current0_input": "350\n",
            f"{IIO}/in_power0_input": "1750\n",
            f"{IIO}/rail_name_1": "POM_5V_GPU\n",
            f"{IIO}/in_voltage1_input": "5000\n",
            f"{IIO}/in_current1_input": "0\n",
        },
    )
    assert ina3221.rails_mw(root, pytest.fail) == {"POM_5V_IN": 1750.0, "POM_5V_GPU": 0.0}
    total = ina3221.total(root)
    assert total is not None
    assert total() == 1750.0


def test_rail_that_cannot_be_read_is_named_and_the_others_stay(tmp_path: Path) -> None:
    names: list[str] = []
    root = write(
        tmp_path,
        {
            f"{IIO}/rail_name_0": "POM_5V_IN",
            f"{IIO}/in_voltage0_input": "what",
            f"{IIO}/in_current0_input": "1",
            f"{IIO}/rail_name_1": "POM_5V_CPU",
            f"{IIO}/in_voltage1_input": "5000",
            f"{IIO}/in_current1_input": "100",
        },
    )
    assert ina3221.rails_mw(root, names.append) == {"POM_5V_CPU": 500.0}
    assert names == ["ina3221 POM_5V_IN"]
    total = ina3221.total(root)
    assert total is not None
    with pytest.raises(Garbled):
        total()


def test_zones_of_one_type_are_the_hotter(tmp_path: Path) -> None:
    files = {}
    for zone, (kind, temperature) in enumerate((("cpu", 40000), ("cpu", 45500), ("gpu", -256000), ("", 30000))):
        files[f"sys/class/thermal/thermal_zone{zone}/temp"] = f"{temperature}\n"
        if kind:
            files[f"sys/class/thermal/thermal_zone{zone}/type"] = f"{kind}\n"
    assert linux.zones(write(tmp_path, files), pytest.fail) == {"cpu": 45.5, "thermal_zone3": 30.0}


@pytest.mark.parametrize(
    ("lowest", "highest", "held"),
    [(["5", "7"], ["5", "7"], True), (["4", "7"], ["5", "7"], False), ([], [], None), (["5"], [], None)],
)
def test_cores_are_held_where_lowest_is_highest(
    tmp_path: Path, lowest: list[str], highest: list[str], held: bool | None
) -> None:
    files = {}
    for name, values in (("scaling_min_freq", lowest), ("scaling_max_freq", highest)):
        for core, value in enumerate(values):
            files[f"sys/devices/system/cpu/cpu{core}/cpufreq/{name}"] = value
    assert linux.cores_held(write(tmp_path, files)) is held


def test_several_governors_are_joined(tmp_path: Path) -> None:
    files = {
        f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor": name
        for core, name in enumerate(("schedutil", "performance", "schedutil"))
    }
    assert linux.governor(write(tmp_path, files)) == "performance,schedutil"


@pytest.mark.parametrize(("now", "is_set"), [(0.0, False), (1_600_000_000.0, False), (1_790_000_000.0, True)])
def test_clock_before_2024_was_never_set(now: float, is_set: bool) -> None:
    assert linux.clock_set(now) is is_set


@given(st.text())
def test_any_text_gives_a_number_or_none(text: str) -> None:
    assert number(text) is None or isinstance(number(text), int)
    value = decimal(text)
    assert value is None or abs(value) < float("inf")
