"""Wheels for devices: the right ones, fetched once, and a plain word where there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.errors import NotFetched, RuntimeUnavailable
from device_agents.runtimes import System, fetch, platform_tags, requirements

PI = System((3, 11), "cpython", "aarch64", ("glibc", "2.36"))


def test_tags_go_from_the_devices_glibc_down() -> None:
    tags = platform_tags(PI)
    assert tags[0] == "manylinux_2_36_aarch64"
    assert {"manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"} <= set(tags)
    assert "manylinux_2_37_aarch64" not in tags
    old = platform_tags(replace(PI, machine="x86_64", libc=("glibc", "2.17")))
    assert old[0] == "manylinux_2_17_x86_64"
    assert "manylinux2014_x86_64" in old


def test_system_of_a_32_bit_python_on_a_64_bit_kernel_is_32_bit() -> None:
    hello = {
        "python": [3, 11, 2],
        "implementation": "cpython",
        "machine": "aarch64",
        "bits": 32,
        "libc": ["glibc", "2.36"],
    }
    assert System.of(hello).machine == "armv7l"


# Python, machine, glibc of devices, and what they get (facts: measured with pip download).
_GETS = [
    (
        "Raspberry Pi OS 12, 64-bit",
        (3, 11),
        "aarch64",
        "2.36",
        "onnxruntime",
        {"onnxruntime": "1.31.1", "numpy": "2.4.6"},
    ),
    ("Raspberry Pi OS 12, 64-bit", (3, 11), "aarch64", "2.36", "litert", {"ai-edge-litert": "2.3.0", "numpy": "2.4.6"}),
    ("Raspberry Pi OS 12, 32-bit", (3, 11), "armv7l", "2.36", "tflite-runtime", {"tflite-runtime": "2.14.0"}),
    ("Raspberry Pi OS 11, 64-bit", (3, 9), "aarch64", "2.31", "litert", {"ai-edge-litert": "2.1.0", "numpy": "2.0.2"}),
    ("Raspberry Pi OS 11, 32-bit", (3, 9), "armv7l", "2.31", "tflite-runtime", {"tflite-runtime": "2.13.0"}),
    ("Raspberry Pi OS 13", (3, 13), "aarch64", "2.41", "litert", {"ai-edge-litert": "2.3.0", "numpy": "2.5.5"}),
    ("JetPack 5", (3, 8), "aarch64", "2.31", "onnxruntime", {"onnxruntime": "1.19.2", "numpy": "1.24.4"}),
    ("JetPack 5", (3, 8), "aarch64", "2.31", "tflite-runtime", {"tflite-runtime": "2.13.0", "numpy": "1.24.4"}),
    ("JetPack 6", (3, 10), "aarch64", "2.35", "tflite-runtime", {"tflite-runtime": "2.14.0", "numpy": "1.26.4"}),
    ("JetPack 4, newer Python", (3, 11), "aarch64", "2.27", "onnxruntime", {"onnxruntime": "1.28.0", "numpy": "2.4.6"}),
    ("old PC", (3, 9), "x86_64", "2.17", "tflite-runtime", {"tflite-runtime": "2.14.0", "numpy": "1.26.4"}),
]


@pytest.mark.parametrize(
    ("python", "machine", "glibc", "name", "wanted"),
    [given[1:] for given in _GETS],
    ids=[f"{given[4]} on {given[0]}" for given in _GETS],
)
def test_device_gets_the_newest_that_fits(
    python: tuple[int, int], machine: str, glibc: str, name: str, wanted: dict[str, str]
) -> None:
    assert requirements(name, System(python, "cpython", machine, ("glibc", glibc))) == wanted


_PI_32 = replace(PI, machine="armv7l")
_JETPACK_5 = System((3, 8), "cpython", "aarch64", ("glibc", "2.31"))


@pytest.mark.parametrize(
    ("name", "system", "what", "remedy"),
    [
        ("onnxruntime", _PI_32, "no wheel for 32-bit ARM", "--target raspberry-pi-32"),
        ("litert", _PI_32, "no wheel for 32-bit ARM", "--target raspberry-pi-32"),
        ("litert", _JETPACK_5, "no ai-edge-litert wheel", "use tflite-runtime"),
        ("tflite-runtime", replace(PI, python=(3, 12)), "no tflite-runtime wheel", "use litert"),
        ("tflite-runtime", replace(_PI_32, python=(3, 12)), "no tflite-runtime wheel", "install one of these Pythons"),
        ("tflite-runtime", replace(PI, libc=("glibc", "2.31")), "no tflite-runtime wheel", "a newer system"),
        ("onnxruntime", replace(PI, libc=("", "")), "unknown C library", 'source = "device"'),
        ("onnxruntime", replace(PI, libc=("musl", "1.2")), "musl", "glibc on the device"),
        ("onnxruntime", replace(PI, machine="riscv64"), "riscv64", "build it"),
        ("torch", PI, "no wheels of the runtime 'torch'", 'source = "device"'),
    ],
)
def test_device_that_gets_none_is_told_what_there_is(name: str, system: System, what: str, remedy: str) -> None:
    with pytest.raises(RuntimeUnavailable) as caught:
        requirements(name, system)
    assert what in caught.value.what
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("system", "word"),
    [
        (replace(PI, machine="armv7l"), "armv7l"),
        (replace(PI, libc=("", "")), "unknown C library"),
        (replace(PI, libc=("musl", "1.2.4")), "musl"),
        (replace(PI, implementation="pypy"), "pypy"),
        (replace(PI, python=(3, 7)), "3.7"),
        (replace(PI, python=(3, 99)), "3.99"),
    ],
)
def test_system_without_wheels_is_named(system: System, word: str) -> None:
    with pytest.raises(RuntimeUnavailable) as caught:
        requirements("onnxruntime", system)
    assert word in str(caught.value)
    assert caught.value.remedy


def test_unknown_runtime_is_named() -> None:
    with pytest.raises(RuntimeUnavailable, match="'nonsense'"):
        requirements("nonsense", PI)


@pytest.mark.slow
def test_fetch_for_a_pi_gives_its_wheels_and_needs_no_network_twice(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch("onnxruntime", PI, cache)
    assert first.version == "1.31.1"
    assert [wheel.path.name.split("-")[0] for wheel in first.wheels] == ["numpy", "onnxruntime"]
    assert all("aarch64" in wheel.path.name for wheel in first.wheels)
    monkeypatch.setenv("EDGEWRIGHT_PIP_ARGS", "--no-such-option-so-pip-would-fail")
    assert fetch("onnxruntime", PI, cache).digest == first.digest


@pytest.mark.slow
def test_fetch_again_where_the_cache_was_damaged(empty_cache: Path, cache: Path) -> None:
    system = replace(PI, python=(3, 12))
    first = fetch("onnxruntime", system, empty_cache)
    first.wheels[0].path.write_bytes(b"damaged")
    assert fetch("onnxruntime", system, empty_cache).digest == first.digest
    assert len(list((empty_cache / "wheels").iterdir())) == 1


@pytest.mark.slow
def test_fetch_of_what_pip_has_no_wheel_for_is_told(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's own answer where the index doesn't have what the table says."""
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("EDGEWRIGHT_PIP_ARGS", "--no-index")
    with pytest.raises(RuntimeUnavailable) as caught:
        fetch("onnxruntime", PI, empty_cache)
    assert "No matching distribution" in caught.value.where
    assert "3.11 on aarch64 with glibc 2.36" in str(caught.value)
    assert list((empty_cache / "wheels").iterdir()) == []


@pytest.mark.slow
def test_fetch_with_bad_pip_arguments_is_told(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_PIP_ARGS", "--no-such-option")
    with pytest.raises(NotFetched) as caught:
        fetch("onnxruntime", PI, empty_cache)
    assert "no such option" in caught.value.where
