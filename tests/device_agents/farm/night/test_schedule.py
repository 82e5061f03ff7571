"""The schedule with real threads: everything is done, builds get the machine for themselves, stopping is clean."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter

import pytest

from device_agents.errors import LinkLost
from device_agents.farm.night.agenda import Agenda, Change, Piece
from device_agents.farm.night.retry import Again, Retry
from device_agents.farm.night.schedule import STOPPED, Schedule, stopped_by_signals


class AtOnce(Retry):
    """Tries a lost link again three times, without a pause."""

    def after(self, error: BaseException, piece: str, attempt: int, rests: int = 0) -> Again | None:
        return Again(0.0, False) if isinstance(error, LinkLost) and attempt < 3 else None


class Told:
    """What the agenda told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def __call__(self, change: Change) -> None:
        self.changes.append(change)

    def last(self, id: str) -> Change:
        return [change for change in self.changes if change.piece.id == id][-1]


def pieces(places: int, each: int) -> list[Piece]:
    return [
        Piece(f"{place}/{number}", str(place), f"m{number}", 1.0) for place in range(places) for number in range(each)
    ]


def test_every_piece_is_done_and_a_place_has_one_at_a_time() -> None:
    told, inside, most = Told(), Counter[str](), Counter[str]()

    def work(piece: Piece) -> None:
        inside[piece.place] += 1
        most[piece.place] = max(most[piece.place], inside[piece.place])
        inside[piece.place] -= 1

    schedule = Schedule(Agenda(told, parallel=8), work)
    schedule.close()
    schedule.run(pieces(20, 10))
    assert Counter(change.state for change in told.changes) == {"running": 200, "done": 200}
    assert set(most.values()) == {1}


def test_places_really_run_at_the_same_time() -> None:
    meeting = threading.Barrier(5)

    def work(piece: Piece) -> None:
        meeting.wait(30)

    schedule = Schedule(Agenda(parallel=5), work)
    schedule.close()
    schedule.run(pieces(5, 3))  # ends only where five are inside at once
    assert not meeting.broken


def test_what_fails_is_tried_again_and_any_exception_is_a_failure_of_its_piece() -> None:
    told, tried = Told(), Counter[str]()

    def work(piece: Piece) -> None:
        tried[piece.id] += 1
        if piece.id == "0/0" and tried[piece.id] < 3:
            raise LinkLost("gone")
        if piece.id == "0/1":
            raise ZeroDivisionError("a bug")

    schedule = Schedule(Agenda(told, retry=AtOnce()), work)
    schedule.close()
    schedule.run(pieces(1, 3))
    assert (told.last("0/0").state, told.last("0/0").attempts) == ("done", 3)
    assert told.last("0/1").state == "failed" and isinstance(told.last("0/1").error, ZeroDivisionError)
    assert told.last("0/2").state == "done"


def test_work_may_add_pieces_after_the_feed_is_closed() -> None:
    told = Told()

    def work(piece: Piece) -> None:
        if piece.id == "0/0":
            schedule.add(Piece("later", "1", "m", 1.0))

    schedule = Schedule(Agenda(told), work)
    schedule.close()
    schedule.run(pieces(1, 1))
    assert told.last("later").state == "done"


def test_feed_that_closes_from_another_thread_ends_the_run() -> None:
    told = Told()
    schedule = Schedule(Agenda(told), lambda piece: None)

    def feed() -> None:
        for piece in pieces(3, 3):
            schedule.add(piece)
        schedule.close()

    threading.Thread(target=feed).start()
    schedule.run()
    assert Counter(change.state for change in told.changes)["done"] == 9


def test_nothing_is_measured_here_while_something_is_built() -> None:
    building, overlaps, elsewhere = threading.Event(), [], threading.Event()

    def work(piece: Piece) -> None:
        if piece.here and building.is_set():
            overlaps.append(piece.id)
        if not piece.here and building.is_set():
            elsewhere.set()

    schedule = Schedule(Agenda(), work)

    def build() -> None:
        for number in range(3):
            with schedule.quiet():
                building.set()
                schedule.add(Piece(f"h{number}", "h", "m", 1.0, True))
                schedule.add(Piece(f"r{number}", "r", "m", 1.0))
                assert elsewhere.wait(30), "a device elsewhere waits for a build"
                elsewhere.clear()
                building.clear()
        schedule.close()

    thread = threading.Thread(target=build)
    thread.start()
    schedule.run()
    thread.join(30)
    assert overlaps == [] and not thread.is_alive()


def test_stopping_cuts_what_runs_and_leaves_nothing_waiting() -> None:
    told, cut = Told(), threading.Event()

    def work(piece: Piece) -> None:
        if piece.place == "0":
            schedule.stop()
        if not cut.wait(30):
            raise AssertionError("never cut off")
        raise LinkLost("cut off")

    schedule = Schedule(Agenda(told), work, cut=cut.set)
    schedule.run(pieces(3, 3))
    assert schedule.stopped.is_set()
    assert {told.last(piece.id).state for piece in pieces(3, 3)} == {"skipped"}
    assert {told.last(piece.id).why for piece in pieces(3, 3)} == {STOPPED}


def test_work_that_hangs_is_not_waited_for_for_ever() -> None:
    told, never = Told(), threading.Event()

    def work(piece: Piece) -> None:
        schedule.stop()
        never.wait()

    schedule = Schedule(Agenda(told), work, grace_s=0.05)
    schedule.run(pieces(1, 2))
    assert told.last("0/0").state == "skipped"
    never.set()


def test_stopping_wakes_who_waits_for_quiet() -> None:
    seen: list[bool] = []

    def build() -> None:
        with schedule.quiet():
            seen.append(schedule.stopped.is_set())

    thread = threading.Thread(target=build)

    def work(piece: Piece) -> None:
        thread.start()
        while not schedule._agenda._quiet_wanted:
            time.sleep(0.001)
        schedule.stop()

    schedule = Schedule(Agenda(), work)
    schedule.run([Piece("h", "h", "m", 1.0, True)])
    thread.join(30)
    assert seen == [True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_it_and_its_handlers_are_put_back(number: signal.Signals) -> None:
    told, cut = Told(), threading.Event()
    before = signal.getsignal(number)

    def work(piece: Piece) -> None:
        os.kill(os.getpid(), number)
        cut.wait(30)

    schedule = Schedule(Agenda(told), work, cut=cut.set)
    with stopped_by_signals(schedule):
        schedule.run(pieces(1, 2))
    assert signal.getsignal(number) is before
    assert told.last("0/1").why == f"{STOPPED} ({number.name})"
