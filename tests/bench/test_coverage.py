"""The coverage table: what it says was tried, and a coupling that is wrong is said to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.pruning import coupling
from pipeline.pruning.groups import Structure
from tests.bench.coverage import main, page, run, wrong
from tests.zoo.proof import structure_from


def test_coverage_says_what_was_cut_left_alone_and_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "coverage.md"
    words = ["--only", "mlp", "--only", "trap-Gram", "--only", "branches", "--criterion", "l1", "--out", str(out)]
    assert main(words) == 0
    text = out.read_text()
    assert text == capsys.readouterr().out.removesuffix("\n")
    # 28 of 56 neurons; of 1522 parameters 12 x 16 + 16 x 12 + 12 x 10 + 16 + 12 + 10 + 2 x 16 are left.
    assert "| mlp | neurons | 28/56 (-62%) |" in text
    assert "| mlp | 6 | they are the network's outputs |" in text
    assert "| trap-Gram | next | the forward pass does not use it |" in text
    assert "| branches | NotTraceable: " in text


def test_coverage_twice_is_the_same_page() -> None:
    from edgewright.progress import Silent

    first, second = (page(run(["resnext"], ["random"], Silent()), ["random"]) for _ in range(2))
    assert first == second


def test_coverage_of_a_wrong_coupling_says_wrong_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    true = coupling.find_structure

    def mutated(*given: object) -> Structure:
        found = true(*given)  # type: ignore[arg-type]
        group = found.groups[0]
        reader = next(place for place, axis in enumerate(group.axes) if not axis.makes)
        axis = group.axes[reader]
        rolled = replace(axis, indices=(*axis.indices[1:], axis.indices[0]))
        found.groups[0] = replace(group, axes=(*group.axes[:reader], rolled, *group.axes[reader + 1 :]))
        return found

    with structure_from(mutated):
        assert main(["--only", "mlp", "--criterion", "l2"]) == 1
    told = capsys.readouterr()
    assert "refused: WrongCut" in told.out
    assert "WRONG: mlp, neurons, l2" in told.err
    assert wrong([]) == []
