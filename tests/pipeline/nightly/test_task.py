"""From what was typed to an exit status: 0, 1 and 2 are told apart, whatever becomes of the pages and files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from invoke import Exit

from device_agents.farm.dashboard import Built
from device_agents.farm.night.out.deliver import KEY, SUMMARY, URL
from device_agents.farm.night.record import Night, Status
from edgewright.errors import EdgewrightError
from pipeline.nightly import task
from pipeline.nightly.task import NotBegun, Outputs, run
from tasks.plainly import plainly

NOWHERE = Outputs()


def night(status: Status | None = 0, finished: bool = True) -> Night:
    return Night(
        id="20261126T020000Z",
        started="2026-11-26T02:00:00Z",
        finished="2026-11-26T03:00:00Z" if finished else None,
        status=status,
    )


class Body:
    """Stands for the night, and for the writing of its page: what each gives or raises, and what it was asked."""

    def __init__(self) -> None:
        self.gives: Night | BaseException | None = night()
        self.page: BaseException | None = None
        self.asked: tuple[Any, ...] = ()
        self.pages = 0

    def nightly(self, *given: Any) -> Night | None:
        self.asked = given
        if isinstance(self.gives, BaseException):
            raise self.gives
        return self.gives

    def write(self, project: Any) -> Built:
        self.pages += 1
        if self.page is not None:
            raise self.page
        return Built(project.state / "dashboard" / "index.html", 0, 1)


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Body:
    found = Body()
    monkeypatch.setattr(task, "nightly", found.nightly)
    monkeypatch.setattr(task, "write", found.write)
    for name in (URL, KEY, SUMMARY):
        monkeypatch.delenv(name, raising=False)
    return found


def ran(outputs: Outputs = NOWHERE) -> int:
    return run("", "", "", 0, False, "", outputs)


@pytest.mark.parametrize("status", [0, 1, 2])
def test_status_of_a_finished_night_is_the_exit_status(body: Body, status: Status) -> None:
    body.gives = night(status)
    assert ran() == status
    assert body.pages == 1


def test_night_that_was_stopped_is_2_and_tells_nobody(body: Body, tmp_path: Path) -> None:
    body.gives = night(None, finished=False)
    assert ran(Outputs(junit=str(tmp_path / "n.xml"))) == 2
    assert body.pages == 0 and list(tmp_path.iterdir()) == []


def test_dry_run_is_0(body: Body) -> None:
    body.gives = None
    assert ran() == 0
    assert body.pages == 0


def test_what_was_typed_reaches_the_night(body: Body) -> None:
    run("a,b", "pi", "06:00", 3, True, "", Outputs())
    assert body.asked == ("a,b", "pi", "06:00", 3, True, None)


def test_file_for_the_record_reaches_the_night(body: Body) -> None:
    run("", "", "", 0, False, "n.json", Outputs())
    assert body.asked == ("", "", "", 0, False, "n.json")


def test_night_that_could_not_begin_ends_with_2_and_its_own_words(body: Body) -> None:
    body.gives = EdgewrightError("There is no device.", where="farm.toml", remedy="write one there")
    with pytest.raises(NotBegun) as caught:
        ran()
    assert (caught.value.what, caught.value.where) == ("There is no device.", "farm.toml")
    assert caught.value.remedy == "write one there"
    with pytest.raises(Exit) as ended:
        plainly(ran)()
    assert ended.value.code == 2
    assert "There is no device." in str(ended.value.message) and "next:" in str(ended.value.message)


def test_ctrl_c_before_the_night_ran_is_2(body: Body) -> None:
    body.gives = KeyboardInterrupt()
    assert ran() == 2


def test_defect_of_ours_is_2_and_is_shown(body: Body, capsys: pytest.CaptureFixture[str]) -> None:
    body.gives = ZeroDivisionError("a bug")
    assert ran() == 2
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err


@pytest.mark.parametrize("error", [EdgewrightError("no room"), ZeroDivisionError("a bug")])
def test_page_that_cannot_be_made_is_a_warning_and_the_rest_is_told(
    body: Body, error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body.gives, body.page = night(1), error
    junit, markdown = tmp_path / "n.xml", tmp_path / "n.md"
    assert ran(Outputs(junit=str(junit), markdown=str(markdown))) == 1
    assert f"warning: there is no page: {error}" in capsys.readouterr().err
    assert ET.parse(junit).getroot().tag == "testsuites"
    assert markdown.read_text().startswith("## Night 20261126T020000Z")


@pytest.mark.parametrize("status", [0, 1, 2])
def test_file_that_cannot_be_written_is_a_warning_and_the_rest_is_told(
    body: Body, status: Status, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body.gives = night(status)
    (tmp_path / "file").write_text("in the way")
    markdown = tmp_path / "n.md"
    assert ran(Outputs(junit=str(tmp_path / "file" / "n.xml"), markdown=str(markdown))) == status
    assert "warning: the JUnit XML could not be written" in capsys.readouterr().err
    assert markdown.is_file()


def test_ctrl_c_while_it_is_told_changes_no_status(body: Body, capsys: pytest.CaptureFixture[str]) -> None:
    body.gives, body.page = night(1), KeyboardInterrupt()
    assert ran() == 1
    assert "not all of it was told" in capsys.readouterr().err


def test_webhook_that_cannot_be_reached_is_a_warning_without_its_address(
    body: Body, capsys: pytest.CaptureFixture[str]
) -> None:
    body.gives = night(0)
    assert ran(Outputs(webhook="no-address/secret")) == 0
    said = capsys.readouterr().err
    assert "warning: the webhook" in said and "secret" not in said
