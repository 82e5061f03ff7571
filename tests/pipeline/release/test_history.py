"""The steps behind a bundle, in their order, with the store's words for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.release.history import history
from pipeline.store import Store
from tests.device_agents.tiny import tiny_manifest

ORDER = ["teacher resnet20/train", "train", "prune 1/2", "distil 1/2", "prune 2/2", "distil 2/2", "equalise", "qat",
         "export", "quantise", "check", "ort"]  # fmt: skip


def test_steps_stand_in_the_order_in_which_they_ran(tmp_path: Path) -> None:
    steps = {name: f"{number:064x}" for number, name in enumerate(sorted(ORDER, reverse=True))}
    found = history(tiny_manifest(origin={"steps": steps}), Store(tmp_path))
    assert [one.name for one in found] == ORDER
    assert all(one.said == "" and one.parameters == {} for one in found)
    assert history(tiny_manifest(), Store(tmp_path)) == []


@pytest.mark.parametrize("said", ["93.1 % top-1", ""])
def test_store_tells_what_a_step_did(said: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    work = tmp_path / "work"
    work.mkdir()
    record = {
        "fingerprint": "ab" * 32,
        "step": "train",
        "node": "trained/train",
        "summary": {"figure": said} if said else {},
        "seconds": 1.0,
        "ingredients": {"parameters": {"epochs": 3}},
    }
    store.commit(record, work)
    (found,) = history(tiny_manifest(origin={"steps": {"train": "ab" * 32}}), store)
    assert (found.said, found.parameters) == (said, {"epochs": 3})
