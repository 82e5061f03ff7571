"""Progress: a bar on a terminal, lines elsewhere, finished also where the work fails."""

from __future__ import annotations

import io
import os
import re

import pytest

from edgewright.progress import Bar, Lines, Silent, for_stream, piece


class _Noted(Silent):
    def __init__(self) -> None:
        self.events: list[str] = []

    def start(self, what: str, total: float) -> None:
        self.events.append(f"start {what} {total}")

    def finish(self) -> None:
        self.events.append("finish")


def test_for_stream_bar_on_a_terminal_lines_elsewhere() -> None:
    inner, outer = os.openpty()
    try:
        with os.fdopen(outer, "w", closefd=False) as terminal:
            assert isinstance(for_stream(terminal), Bar)
    finally:
        os.close(inner)
        os.close(outer)
    assert isinstance(for_stream(io.StringIO()), Lines)


def test_lines_tell_share_time_left_and_note_without_control_characters() -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=0.0)
    lines.start("train", 4)
    lines.advance(1, "loss 0.5")
    lines.advance(3)
    first, last = stream.getvalue().splitlines()
    assert re.fullmatch(r"    train:  25%, about \d+ s left  loss 0\.5", first)
    assert last == "    train: 100%, about 0 s left"


def test_lines_stay_silent_between_two_of_them() -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=3600.0)
    lines.start("train", 100)
    for _ in range(100):
        lines.advance()
    assert stream.getvalue() == ""


def test_lines_total_of_zero_does_not_divide_by_it() -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=0.0)
    lines.start("nothing", 0)
    lines.advance(0)
    assert "nothing" in stream.getvalue()


def test_piece_is_finished_where_the_work_fails() -> None:
    noted = _Noted()
    with pytest.raises(KeyError), piece(noted, "work", 3):
        raise KeyError
    assert noted.events == ["start work 3", "finish"]


def test_bar_takes_markup_in_names_as_text_and_finishes_twice() -> None:
    bar = Bar()
    bar.advance(1)  # before any start: shows nothing, breaks nothing
    bar.start("[red]name[/oops]", 2)
    bar.advance(1, "[/note]")
    bar.finish()
    bar.finish()
