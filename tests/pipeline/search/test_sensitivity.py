"""Every group and layer is tried once; what was noted is not tried again, and the network stays as it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.search.notes import Notes
from pipeline.search.sensitivity import LEAST, MOST, Trial, sensitivity
from pipeline.search.space import Choice, find_space
from tests.pipeline.nets import make, pictures


class Judge:
    """Says how many parameters of 100,000 a network has; counts how often it was asked, stops after some."""

    def __init__(self, stop_at: int = 10_000) -> None:
        self.asked, self.stop_at = 0, stop_at

    def __call__(self, net: nn.Module, samples: int) -> float:
        self.asked += 1
        if self.asked > self.stop_at:
            raise KeyboardInterrupt
        return sum(one.numel() for one in net.parameters()) / 1e5


def _trial(judge: Judge) -> Trial:
    net = make("resnet")
    space = find_space(net, (pictures(2),), 8)
    return Trial(net, space, {one.name: list(range(one.units)) for one in space.groups}, judge, lambda net: None)


def test_each_try_is_of_one_thing_and_more_gone_is_no_less_lost(tmp_path: Path) -> None:
    trial = _trial(Judge())
    before = {name: value.clone() for name, value in trial.network.state_dict().items()}
    felt = sensitivity(trial, Notes(tmp_path), 1.0, lambda: None)
    for group in trial.space.groups:
        lost = [after for _, after in felt.groups[group.name]]
        assert lost == sorted(lost)
        assert len(lost) == 4
        half = Choice((), ((group.name, group.units // 2),))
        gone = trial.space.size(Choice()).params - trial.space.size(half).params
        assert felt.lost(half) == pytest.approx(gone / 1e5)
    assert set(felt.layers) == set(trial.space.layers)
    assert all(value > 0 for value in felt.layers.values())
    assert all(torch.equal(value, before[name]) for name, value in trial.network.state_dict().items())


def test_what_has_no_metric_any_more_has_lost_it_all(tmp_path: Path) -> None:
    judge = Judge()
    trial = _trial(judge)
    whole = judge(trial.network, 1)

    def judged(net: nn.Module, samples: int) -> float:
        found = judge(net, samples)
        return found if found == whole else float("nan")

    trial.judge = judged
    felt = sensitivity(trial, Notes(tmp_path), 1.0, lambda: None)
    assert set(felt.layers.values()) == {whole}


def test_statistics_that_take_long_leave_fewer_samples_to_judge_on(tmp_path: Path) -> None:
    asked: list[int] = []

    def judge(net: nn.Module, samples: int) -> float:
        asked.append(samples)
        return 0.5

    for slow in (False, True):
        trial = _trial(Judge())
        trial.judge = judge
        waits = [0.8] if slow else []
        trial.settle = lambda net, waits=waits: time.sleep(waits.pop() if waits else 0)  # type: ignore[misc]
        sensitivity(trial, Notes(tmp_path / str(slow)), 20.0, lambda: None)
        assert asked[-1] == (LEAST if slow else MOST)


def test_killed_in_the_middle_it_tries_only_the_rest(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        sensitivity(_trial(Judge(stop_at=10)), Notes(tmp_path), 1.0, lambda: None)
    rest, again = Judge(), Judge()
    felt = sensitivity(_trial(rest), Notes(tmp_path), 1.0, lambda: None)
    assert 0 < rest.asked < 3 * len(felt.groups) + len(felt.layers)
    assert sensitivity(_trial(again), Notes(tmp_path), 1.0, lambda: None) == felt
    assert again.asked == 0
