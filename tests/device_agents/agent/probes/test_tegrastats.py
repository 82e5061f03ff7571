"""Lines of tegrastats from several boards and releases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.agent.probes.tegrastats import parse, total_mw

ORIN_NANO = (
    "10-08-2026 04:38:21 RAM 1343/7620MB (lfb 157x4MB) SWAP 165/3810MB (cached 3MB) CPU [0%@1497,0%@729,0%@729] "
    "EMC_FREQ 15%@204 GR3D_FREQ 0%@[305] NVDEC off NVJPG off VIC off OFA off APE 200 cpu@48.562C soc2@46.593C "
    "gpu@-256C tj@49.312C VDD_IN 5251mW/8535mW VDD_CPU_GPU_CV 512mW/1944mW VDD_SOC 2720mW/3659mW"
)
AGX_ORIN = (
    "RAM 5137/62841MB (lfb 2x4MB) SWAP 0/31420MB (cached 0MB) CPU [1%@2201,off] EMC_FREQ 0%@3199 GR3D_FREQ 37%@[0,0] "
    "NVENC 79%@166 cpu@52.031C VDD_GPU_SOC 2412mW/2412mW VDD_CPU_CV 1607mW/1607mW VIN_SYS_5V0 4707mW/4707mW "
    "NC 0mW/0mW VDDQ_VDD2_1V8AO 705mW/705mW NC 0mW/0mW"
)
XAVIER_NX = (
    "RAM 1821/6855MB (lfb 512x4MB) SWAP 0/3428MB (cached 0MB) CPU [3%@1904,1%@1904,off,off] EMC_FREQ 0%@1600 "
    "GR3D_FREQ 0%@[510] VIC_FREQ 601 APE 150 AUX@39C CPU@40.5C thermal@39.85C PMIC@50C VDD_IN 5079mW/5079mW"
)
NANO = (
    "RAM 1923/3964MB (lfb 2x2MB) SWAP 191/1982MB (cached 6MB) IRAM 0/252kB(lfb 252kB) CPU [5%@1224,4%@1224] "
    "EMC_FREQ 0%@1600 GR3D_FREQ 88%@76 APE 25 PLL@37C CPU@40C PMIC@100C POM_5V_IN 1750/1628 POM_5V_GPU 0/0"
)


def _parsed(line: str) -> dict[str, Any]:
    found = parse(line)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "total", "gpu", "off", "hottest"),
    [
        (ORIN_NANO, 5251.0, 0, 0, {"cpu": 48.562, "soc2": 46.593, "tj": 49.312}),
        (AGX_ORIN, None, 37, 1, {"cpu": 52.031}),
        (XAVIER_NX, 5079.0, 0, 2, {"AUX": 39.0, "CPU": 40.5, "thermal": 39.85, "PMIC": 50.0}),
        (NANO, 1750.0, 88, 0, {"PLL": 37.0, "CPU": 40.0, "PMIC": 100.0}),
        (NANO.replace("88%@76", "88%"), 1750.0, 88, 0, {"PLL": 37.0, "CPU": 40.0, "PMIC": 100.0}),
        ("RAM 1/2MB CPU [off]", None, None, 1, {}),
    ],
)
def test_lines_of_every_board(
    line: str, total: float | None, gpu: int | None, off: int, hottest: dict[str, float]
) -> None:
    found = _parsed(line)
    assert total_mw(found["rails_mw"]) == total
    assert (found["gpu_percent"], found["cores_off"]) == (gpu, off)
    assert found["temperatures"] == hottest


def test_rails_are_the_current_values_and_unconnected_pins_are_left_out() -> None:
    assert _parsed(AGX_ORIN)["rails_mw"] == {
        "VDD_GPU_SOC": 2412.0,
        "VDD_CPU_CV": 1607.0,
        "VIN_SYS_5V0": 4707.0,
        "VDDQ_VDD2_1V8AO": 705.0,
    }
    assert _parsed(NANO)["rails_mw"] == {"POM_5V_IN": 1750.0, "POM_5V_GPU": 0.0}


@pytest.mark.parametrize("line", ["", "tegrastats: command not found", "RAM 1/2MB", ORIN_NANO[:40], "CPU [1%@2]"])
def test_line_that_is_none_gives_none(line: str) -> None:
    assert parse(line) is None


@given(st.text(), st.integers(0, len(ORIN_NANO)), st.integers(0, len(ORIN_NANO)))
def test_any_damaged_line_gives_readings_or_none(noise: str, first: int, last: int) -> None:
    for line in (noise, ORIN_NANO[:first] + noise + ORIN_NANO[last:]):
        found = parse(line)
        assert found is None or all(isinstance(value, float) for value in found["rails_mw"].values())
