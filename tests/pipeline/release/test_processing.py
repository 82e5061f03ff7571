"""preprocessing.json and labels.txt."""

from __future__ import annotations

from pathlib import Path

from pipeline.release.processing import labels_file, spec
from tests.pipeline.release.contents import content


def test_spec_tells_what_to_do_before_and_after(tmp_path: Path) -> None:
    told = spec(content(tmp_path))
    assert told["inputs"] == [{"name": "x", "dtype": "float32", "shape": [1, 1, 8, 8]}]
    assert told["preprocessing"] == {"divide_by": 16}
    assert told["postprocessing"] == {"activation": "softmax", "decide": "argmax", "labels": "labels.txt"}
    other = spec(content(tmp_path / "other", classifies=False, labels=None))
    assert other["postprocessing"] == {"activation": None, "decide": None, "labels": None}


def test_label_is_one_line_whatever_it_holds() -> None:
    assert labels_file(["T-shirt/top", "two\nlines ", "Äpfel"]).decode() == "T-shirt/top\ntwo lines\nÄpfel\n"
