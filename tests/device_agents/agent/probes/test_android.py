"""`dumpsys thermalservice` and `getprop` of phones, and what is no such output."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.agent.probes.android import getprop, phone, thermalservice

THERMAL = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=91.0, mType=0, mName=AP, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=24.1, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=-99.9, mType=6, mName=TYPE_POWER_AMPLIFIER, mStatus=0}
\tTemperature{mValue=NaN, mType=3, mName=skin, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=TYPE_CPU}
Temperature{mValue=99.0, mType=0, mName=later, mStatus=0}
"""


def test_thermalservice_takes_the_block_of_the_hardware_only() -> None:
    assert thermalservice(THERMAL) == {"status": 2, "temperatures": {"AP": 25.6, "battery": 24.1}}


def test_thermalservice_of_one_name_twice_is_the_hotter() -> None:
    text = "Current temperatures from HAL:\n" + "".join(
        f"Temperature{{mValue={value}, mType=0, mName=CPU, mStatus=0}}\n" for value in (30.5, 41.5, 35.0)
    )
    assert thermalservice(text) == {"status": None, "temperatures": {"CPU": 41.5}}


@pytest.mark.parametrize(
    "text", ["", "Can't find service: thermalservice", "Thermal Status: 9", THERMAL[: THERMAL.index("HAL Ready")][:60]]
)
def test_thermalservice_that_says_nothing_is_empty(text: str) -> None:
    assert thermalservice(text) == {"status": None, "temperatures": {}}


def test_getprop_reads_every_property_also_over_several_lines() -> None:
    text = "[ro.product.model]: [Pixel 6]\n[persist.note]: [one\n\ntwo]\n[empty]: []\nnonsense\n[cut]: [off"
    assert getprop(text) == {"ro.product.model": "Pixel 6", "persist.note": "one\n\ntwo", "empty": ""}


def test_phone_names_what_matters() -> None:
    properties = {
        "ro.product.model": "Pixel 6",
        "ro.build.version.release": "13",
        "ro.build.version.sdk": "33",
        "ro.product.cpu.abi": "arm64-v8a",
    }
    assert phone(properties) == {"model": "Pixel 6", "release": "13", "sdk": 33, "abi": "arm64-v8a"}
    assert phone({"ro.build.version.sdk": "what"}) == {"model": None, "release": None, "sdk": None, "abi": None}
    assert phone({}) is None


@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "replace")))
def test_any_text_gives_an_answer(text: str) -> None:
    for given_text in (text, "Current temperatures from HAL:\nTemperature{mValue=" + text, "[a]: [" + text):
        found = thermalservice(given_text)
        assert set(found) == {"status", "temperatures"}
        assert all(isinstance(value, float) for value in found["temperatures"].values())
        phone(getprop(given_text))
