"""What an agent says of a file that was to be sent to it, where that file can't be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.agent import place


def test_file_that_cannot_be_read_counts_as_missing_so_that_it_is_sent_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"content")

    def worn(path: str) -> str:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(place, "_digest", worn)
    request = {"path": str(tmp_path / "file"), "size": 7, "sha256": "0" * 64}
    assert place.seek(request)["whole"] is False
