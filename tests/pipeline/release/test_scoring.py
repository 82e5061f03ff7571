"""The metric on this machine, where no device took it: over the whole test part, the release's own answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewright.progress import Silent
from pipeline.project import Project
from pipeline.recipe import read_recipe
from pipeline.release import scoring
from pipeline.release.errors import NoSample
from tests.device_agents.tiny import SIDE
from tests.pipeline.release import accepted

X = np.random.default_rng(7).standard_normal((6, 1, SIDE, SIDE)).astype(np.float32)


@pytest.fixture
def project(tmp_path: Path, state: Path) -> Project:
    return accepted.project(tmp_path / "project", state)


def test_metric_on_host_is_over_all_samples(project: Project, tmp_path: Path) -> None:
    recipe, bundle = read_recipe("tiny", project.root), accepted.bundle(tmp_path)
    answers = scoring.answers(bundle, X, Silent())
    assert answers.shape == (6, 4) and answers.dtype == np.float32
    labels = answers.argmax(-1)
    assert scoring.on_host(recipe, bundle, X, labels) == (1.0, 6)
    labels[:3] = (labels[:3] + 1) % 4
    assert scoring.on_host(recipe, bundle, X, labels) == (0.5, 6)
    with pytest.raises(NoSample, match="does not run on this machine"):
        scoring.on_host(recipe, bundle, X[:, :, :3], labels)


def test_release_prefers_the_test_part_on_host_to_the_check_on_validation(project: Project, tmp_path: Path) -> None:
    """A phone's benchmark_model gives no outputs, so its report has no metric."""
    given = accepted.bundle(tmp_path)
    report = accepted.report(given)
    report.results[0] = report.results[0] | {"accuracy": None}
    accepted.accept(project, given, (report,))
    made = accepted.released(project)
    found = made.manifest.metric
    assert found is not None and (found.where, found.part) == ("host", "test")
    assert found.samples > 100
    for name in ("model_card.md", "model_card.html"):
        text = (made.folder / name).read_text()
        assert f"over {found.samples:,} samples, the whole test part, taken not on such a device" in text
