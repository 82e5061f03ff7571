"""nvpmodel, jetson_clocks and the release file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.agent.probes import jetson
from device_agents.agent.probes.jetson import PowerMode


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("NV Power Mode: 25W\n1\n", PowerMode("25W", 1)),
        ("NV Power Mode: MAXN\n0", PowerMode("MAXN", 0)),
        ("NV Power Mode: MAXN_SUPER\n2\n", PowerMode("MAXN_SUPER", 2)),
        (
            "NVPM VERB: Config file: /etc/nvpmodel.conf\nNV Fan Mode:quiet\n"
            "NVPM VERB: Current mode: NV Power Mode: MODE_15W_6CORE\n2\nNVPM VERB: PARAM CPU_ONLINE: ARG CORE_0\n",
            PowerMode("MODE_15W_6CORE", 2),
        ),
        ("NV Power Mode: MODE_15W", PowerMode("MODE_15W", None)),
        ("NVPM ERROR: optMask is 1, no request for power mode\n", None),
        ("", None),
    ],
)
def test_power_mode_of_every_form(text: str, mode: PowerMode | None) -> None:
    assert jetson.power_mode(text) == mode


def test_power_modes_of_the_configuration() -> None:
    text = "# comment\n< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=8 NAME=MODE_20W_6CORE >\n"
    assert jetson.power_modes(text) == {"MAXN": 0, "MODE_20W_6CORE": 8}
    assert jetson.power_modes("nothing") is None


FREE = "cpu0:  Online=1 Governor=schedutil MinFreq=729600 MaxFreq=1344000 CurrentFreq=1190400 IdleStates: WFI=1 c7=1\n"
HELD = FREE.replace("729600", "1344000")
OFF = FREE.replace("cpu0", "cpu1").replace("Online=1", "Online=0")
GPU = "GPU MinFreq=918000000 MaxFreq=918000000 CurrentFreq=918000000\nActive GPU TPCs: 4\n"
EMC = "EMC MinFreq=204000000 MaxFreq=2133000000 CurrentFreq=2133000000 FreqOverride=1\nFAN Dynamic Speed control=a\n"


@pytest.mark.parametrize(
    ("text", "locked"),
    [
        (FREE + GPU + EMC, False),
        (HELD + GPU + EMC, True),
        (HELD + OFF + GPU + EMC, True),
        (HELD + GPU.replace("MinFreq=918", "MinFreq=306") + EMC, False),
        (HELD.replace("Online=1 ", ""), True),
        ("Error: Please run as root", None),
        (EMC, None),
    ],
)
def test_clocks_are_locked_where_all_that_is_on_is_held(text: str, locked: bool | None) -> None:
    assert jetson.clocks_locked("SOC family:tegra234  Machine:Jetson\nOnline CPUs: 0-5\n" + text) is locked


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64", "36.4.3"),
        ("# R32 (release), REVISION: 7.4, GCID: 33514132, BOARD: t210ref", "32.7.4"),
        ("R36", None),
    ],
)
def test_release_of_l4t(text: str, release: str | None) -> None:
    assert jetson.l4t(text) == release


@given(st.text(), st.sampled_from(["NV Power Mode: ", "< POWER_MODEL ID=", "cpu0: MinFreq=", "# R36 (release), "]))
def test_any_text_gives_an_answer(text: str, start: str) -> None:
    for parse in (jetson.power_mode, jetson.power_modes, jetson.clocks_locked, jetson.l4t):
        parse(text)
        parse(start + text)
