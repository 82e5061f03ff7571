"""What every way of connecting promises, asked of each: commands, streams and folders; files are test_push.py's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from device_agents.connect import base
from device_agents.connect.base import Connection
from device_agents.errors import CommandTimedOut, EndlessOutput, LinkLost, NoPython

HOSTILE = [
    "plain",
    "two words",
    "it's",
    'say "hi"',
    "$(touch owned)",
    "`id`",
    "a;b",
    "a|b",
    "*",
    "~",
    "\\",
    "-n",
    "$HOME",
    "ü",
]


def test_run_gives_output_errors_and_status(connection: Connection) -> None:
    done = connection.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.status, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_run_hands_hostile_words_on_unchanged(connection: Connection) -> None:
    done = connection.run(["printf", "%s\\n", *HOSTILE])
    assert done.stdout.decode().splitlines() == HOSTILE


def test_run_passes_big_input_and_output_through(connection: Connection) -> None:
    data = os.urandom(3_000_000)
    assert connection.run(["cat"], input=data).stdout == data


def test_run_drains_a_flood_of_errors(connection: Connection) -> None:
    done = connection.run(["sh", "-c", "head -c 8000000 /dev/zero >&2; echo done"])
    assert done.stdout == b"done\n"
    assert 0 < len(done.stderr) <= 1 << 16


def test_run_killed_by_a_signal_is_minus_one(connection: Connection) -> None:
    # env, so that no shell between us and the command turns the signal into a status of its own
    assert connection.run([connection.python, "-c", "import os; os.kill(os.getpid(), 9)"]).status in (-1, 137)
    assert connection.run(["sh", "-c", "kill -9 $$"]).status == -1


def test_run_of_a_missing_command_is_127(connection: Connection) -> None:
    assert connection.run(["no-such-command-anywhere"]).status == 127


def test_run_beyond_its_time_raises(connection: Connection) -> None:
    with pytest.raises(CommandTimedOut):
        connection.run(["sleep", "30"], timeout=1.0)
    assert connection.run(["echo", "still here"]).stdout == b"still here\n"


def test_run_that_ignores_its_input_is_no_error(connection: Connection) -> None:
    assert connection.run(["true"], input=b"x" * 1_000_000).status == 0


def test_stream_gives_lines_and_keeps_stdin_open(connection: Connection) -> None:
    lines: list[bytes] = []
    script = "read first; echo got $first; if read -t 0.3 second; then echo eof; else echo open; fi; printf tail"
    done = connection.stream(["bash", "-c", script], b"hello", lines.append, idle_timeout=20)
    assert done.status == 0
    assert lines == [b"got hello", b"open", b"tail"]


def test_stream_hands_on_lines_that_are_no_text(connection: Connection) -> None:
    lines: list[bytes] = []
    connection.stream(["printf", "\\377\\000\\n\\n{}\\n"], b"", lines.append)
    assert lines == [b"\xff\x00", b"", b"{}"]


def test_stream_sends_what_a_line_is_answered_with(connection: Connection) -> None:
    lines: list[bytes] = []

    def answer(line: bytes) -> bytes | None:
        lines.append(line)
        return b"more" if line == b"ask" else None

    script = "read first; echo ask; read second; echo got $second; if read -t 0.3 third; then echo eof; fi"
    assert connection.stream(["bash", "-c", script], b"hello", answer, idle_timeout=20).status == 0
    assert lines == [b"ask", b"got more"]


def test_stream_that_ends_before_it_hears_the_answer_is_no_error(connection: Connection) -> None:
    connection.stream(["sh", "-c", "read first; echo ask; exec true"], b"", lambda line: b"x" * 1_000_000)


def test_stream_of_a_line_without_end_is_cut(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MOST_LINE", 1 << 20)
    with pytest.raises(EndlessOutput, match="a line of more than 1 MiB"):
        connection.stream(["cat", "/dev/zero"], b"", lambda line: None)
    assert connection.run(["echo", "still here"]).stdout == b"still here\n"


def test_run_that_answers_without_end_is_cut(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MOST_OUTPUT", 1 << 20)
    with pytest.raises(EndlessOutput, match="more than 1 MiB"):
        connection.run(["cat", "/dev/zero"])
    assert connection.run(["echo", "still here"]).stdout == b"still here\n"


def test_stream_that_goes_silent_ends_by_the_watchdog(connection: Connection) -> None:
    with pytest.raises(LinkLost, match="Nothing was heard"):
        connection.stream(["sleep", "30"], b"", lambda line: None, idle_timeout=2.0)


def test_stream_beyond_its_time_raises(connection: Connection) -> None:
    with pytest.raises(CommandTimedOut):
        connection.stream(
            ["sh", "-c", "while sleep 0.2; do echo x; done"], b"", lambda line: None, time_limit=2.0, idle_timeout=60
        )


def test_pull_of_a_missing_file_raises(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connection.pull(str(tmp_path / "missing"), tmp_path / "back")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_seen_and_removed(connection: Connection, tmp_path: Path) -> None:
    path = str(tmp_path / "a b" / "$(c)")
    assert not connection.exists(path)
    connection.mkdir(path)
    connection.mkdir(path)
    assert connection.exists(path)
    connection.remove(str(tmp_path / "a b"))
    connection.remove(str(tmp_path / "a b"))
    assert not connection.exists(path)


def test_request_without_python_names_the_remedy(python_connection: Connection) -> None:
    python_connection.python = "no-such-python"
    with pytest.raises(NoPython) as caught:
        python_connection.place(do="hello", root="/tmp")
    assert "no-such-python" in str(caught.value)
    assert "farm.toml" in caught.value.remedy


def test_request_to_an_old_python_names_the_remedy(python_connection: Connection, tmp_path: Path) -> None:
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\necho 'Unknown option: -I' >&2\nexit 2\n")
    old.chmod(0o755)
    python_connection.python = str(old)
    with pytest.raises(NoPython):
        python_connection.place(do="hello", root="/tmp")
