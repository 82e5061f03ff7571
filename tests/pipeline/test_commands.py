"""What the tasks print beside the road itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import commands
from tests.pipeline.conftest import ONNX, RECIPE


def test_explain_says_which_variant_the_target_has_no_use_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ROOT", "STATE", "CACHE"):
        monkeypatch.setenv(f"EDGEWRIGHT_{name}", str(tmp_path))
    path = tmp_path / "own.toml"
    path.write_text(RECIPE + "[[shrink]]\nname = 'halved'\npattern = '2:4'\n")
    commands.explain(str(path), ONNX)
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "halved" in line]
    assert line.startswith("  halved: left out, onnx has no hardware for 2:4 sparsity")
    assert lines[-1] == "  16 of 16 steps would run"
