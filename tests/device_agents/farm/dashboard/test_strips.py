"""Blocks as strips: as many as were measured, what was discarded told apart, and figures in the table."""

from __future__ import annotations

from device_agents.farm.dashboard.strips import strips
from tests.device_agents.farm.ledger.made import block


def test_strips_draws_every_block_and_lists_it() -> None:
    found = strips({"name": "int8", "blocks": [block(1.0, process=p, round=r) for p in range(2) for r in range(3)]})
    assert found is not None
    assert found.lines.count("M") == found.boxes.count("M") == found.middles.count("M") == 6
    assert [(row.process, row.round) for row in found.blocks] == [(p, r) for p in range(2) for r in range(3)]
    assert all(row.samples == 20 and not row.marks for row in found.blocks)
    assert found.again == ""


def test_strips_sets_a_discarded_block_before_the_one_that_counts() -> None:
    kept, again = block(1.0, process=0, round=1), block(2.0, process=0, round=1, canary_ratio=1.4)
    found = strips({"name": "int8", "blocks": [block(1.0, process=0, round=0), kept], "redone": [again]})
    assert found is not None
    assert [row.marks for row in found.blocks] == ["", "discarded, measured again", ""]
    assert found.blocks[1].canary == "1.40x"
    assert found.again.count("M") == 1 and found.boxes.count("M") == 2


def test_strips_marks_a_block_whose_core_was_shared() -> None:
    found = strips({"name": "int8", "blocks": [block(1.0, others_cpu_share=0.8)]})
    assert found is not None and found.blocks[0].marks == "core was shared" and found.blocks[0].others == "80 %"


def test_strips_of_a_result_without_samples_is_none() -> None:
    assert strips({"name": "lost", "blocks": []}) is None
    assert strips({"name": "lost", "blocks": [block(1.0, samples_ns=[])]}) is None
