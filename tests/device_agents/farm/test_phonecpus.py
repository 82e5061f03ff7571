"""A phone's cores and battery: what is made of the text that its files and programs give."""

from __future__ import annotations

import pytest

from device_agents.connect.shellplace import os_error
from device_agents.farm.phonecpus import cpu_ns, idlest, listed, spent, ticks
from device_agents.farm.phoneprobe import battery

STAT = """cpu  100 0 50 800 50 0 0 0 0 0
cpu0 60 0 30 400 10 0 0 0 0 0
cpu1 40 0 20 400 40 0 0 0 0 0
intr 12345
"""
LATER = STAT.replace("cpu0 60 0 30 400", "cpu0 70 0 40 410").replace("cpu1 40 0 20 400", "cpu1 41 0 20 429")


def test_ticks_are_those_in_use_and_all_of_each_core() -> None:
    assert ticks(STAT) == {0: (90, 500), 1: (60, 500)}
    assert ticks("") == {}
    assert ticks("cpu0 garbage\ncpu1 1 2 3\n") == {}


def test_spent_needs_every_core_at_both_ends() -> None:
    before, after = ticks(STAT), ticks(LATER)
    assert spent(before, after, [0]) == (20, 30)
    assert spent(before, after, [0, 1]) == (21, 60)
    assert spent(before, {0: after[0]}, [0, 1]) is None
    assert spent(before, after, []) is None


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0m00.40s 0m00.00s\n0m01.25s 0m00.05s\n", 1_300_000_000),  # mksh
        ("0m0.000000s 0m0.000000s\n1m2.500000s 0m0.250000s\n", 62_750_000_000),  # dash
        ("", None),
        ("0m0.1s 0m0.1s\n", None),
        ("times: not found\n", None),
    ],
)
def test_cpu_time_of_what_a_shell_ran(text: str, ns: int | None) -> None:
    assert cpu_ns(text) == ns


def test_fast_cores_come_first_and_the_idlest_of_them() -> None:
    big_little = (
        dict.fromkeys(range(4), 1_800_000) | dict.fromkeys((4, 5), 2_250_000) | dict.fromkeys((6, 7), 2_800_000)
    )
    before = dict.fromkeys(range(8), (0, 0))
    after = {core: (30 if core == 7 else 1, 30) for core in range(8)}
    everything = set(range(8))
    assert idlest(1, before, after, big_little, everything) == [6]
    assert idlest(2, before, after, big_little, everything) == [6, 7]
    assert idlest(3, before, after, big_little, everything) == [5, 6, 7]
    assert idlest(1, before, after, big_little, {0, 1, 2, 3}) == [3]
    assert idlest(2, {}, {}, {}, {0, 1}) == [0, 1]
    assert idlest(1, {}, {}, {}, set()) == []


def test_list_of_allowed_cores_is_read() -> None:
    assert listed("Name:\tsh\nCpus_allowed:\tff\nCpus_allowed_list:\t0-3,6\nMems_allowed_list:\t0\n") == {0, 1, 2, 3, 6}
    assert listed("Cpus_allowed_list:\tgarbage\n") == set()
    assert listed("") == set()


def test_battery_is_read_or_unknown() -> None:
    text = "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n  level: 83\n  temperature: 271\n"
    assert battery(text) == {"level_percent": 83, "temperature_c": 27.1, "charging": True}
    assert battery("  level: 5\n  temperature: cold\n") == {
        "level_percent": 5,
        "temperature_c": None,
        "charging": None,
    }
    assert battery("Can't find service: battery\n") is None
    assert battery("  level: ??\n") is None


@pytest.mark.parametrize(
    ("said", "number"),
    [
        (b"cat: xwrite: No space left on device\n", 28),
        (b"sh: can't create /sys/x: Permission denied\n", 13),
        (b"mkdir: '/data/x': Read-only file system\n", 30),
        (b"mv: bad '/a': No such file or directory\n", 2),
        (b"", 5),
        (b"\xff\xfe something else\n", 5),
    ],
)
def test_complaints_of_a_shell_become_errors_with_their_number(said: bytes, number: int) -> None:
    assert os_error(said).errno == number
