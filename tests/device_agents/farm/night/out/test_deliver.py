"""Where a night's outputs go."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from device_agents.farm.night.out.deliver import deliver
from tests.device_agents.farm.night.out.nights import night


class Told:
    """Takes what would be posted."""

    def __init__(self, answer: str | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answer = answer

    def __call__(self, night: object, url: str, **given: Any) -> str | None:
        self.calls.append((url, given))
        return self._answer


def test_nothing_asked_for_writes_and_posts_nothing(tmp_path: Path) -> None:
    tell = Told()
    assert deliver(night(), environment={}, tell=tell) == []
    assert tell.calls == [] and not list(tmp_path.iterdir())


def test_files_are_written_and_the_job_summary_is_added_to(tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    summary.write_text("of another step\n")
    environment = {"GITHUB_STEP_SUMMARY": str(summary)}
    junit_file, markdown_file = str(tmp_path / "new" / "j.xml"), str(tmp_path / "n.md")
    assert deliver(night(), junit_file=junit_file, markdown_file=markdown_file, environment=environment) == []
    assert ET.parse(tmp_path / "new" / "j.xml").getroot().tag == "testsuites"
    assert summary.read_text() == "of another step\n" + (tmp_path / "n.md").read_text()


def test_webhook_of_the_command_line_wins_over_the_environments() -> None:
    tell = Told()
    environment = {"EDGEWRIGHT_WEBHOOK": "https://a", "EDGEWRIGHT_WEBHOOK_KEY": "k"}
    deliver(night(), environment=environment, tell=tell)
    deliver(night(), webhook="https://b", link="https://c", environment=environment, tell=tell)
    assert tell.calls == [
        ("https://a", {"key": "k", "link": None}),
        ("https://b", {"key": "k", "link": "https://c"}),
    ]


def test_what_fails_is_a_warning_and_the_rest_is_still_delivered(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    tell = Told("the webhook at https://a was not told: it answered 500")
    warnings = deliver(
        night(),
        junit_file=str(tmp_path / "file" / "j.xml"),
        markdown_file=str(tmp_path / "n.md"),
        webhook="https://a",
        environment={"GITHUB_STEP_SUMMARY": str(tmp_path / "none" / "summary")},
        tell=tell,
    )
    assert len(warnings) == 3
    assert "JUnit" in warnings[0] and "job summary" in warnings[1] and "500" in warnings[2]
    assert (tmp_path / "n.md").is_file()
