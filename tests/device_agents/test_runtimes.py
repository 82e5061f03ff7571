"""Wheels for devices: the right ones, fetched once, and a plain word where there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.errors import RuntimeUnavailable
from device_agents.runtimes import RUNTIMES, System, fetch, platform_tags, requirements

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


def test_every_package_names_a_version_for_the_same_pythons() -> None:
    for recipe in RUNTIMES.values():
        assert len({frozenset(versions) for versions in recipe.packages.values()}) == 1


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
    """pip's own answer: the versions are real, but no wheel of them runs on a C library that old."""
    ancient = replace(PI, libc=("glibc", "2.12"), machine="x86_64")
    with pytest.raises(RuntimeUnavailable) as caught:
        fetch("onnxruntime", ancient, empty_cache)
    assert "No matching distribution" in caught.value.where
    assert "3.11 on x86_64 with glibc 2.12" in str(caught.value)
    assert list((empty_cache / "wheels").iterdir()) == []


@pytest.mark.slow
def test_fetch_with_bad_pip_arguments_is_told(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_PIP_ARGS", "--no-such-option")
    with pytest.raises(RuntimeUnavailable) as caught:
        fetch("onnxruntime", PI, empty_cache)
    assert "no such option" in caught.value.where
