"""What runs next: the longest first, in turns, one at a place, again after a pause, and nothing that ends too late."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agents.errors import AgentFailed, DeviceBusy, DeviceUnreachable, LinkLost, NoRoom
from device_agents.farm.night.agenda import DEADLINE, MOST_FAILURES, Agenda, Piece
from tests.device_agents.farm.night.simulation import Simulation

FINAL = ("done", "failed", "skipped")


def quick(piece: Piece, attempt: int) -> tuple[float, None]:
    """A piece takes what is expected of it, and goes well."""
    return piece.expected_s or 1.0, None


def piece(place: str, number: int, seconds: float | None = 10.0, model: str = "", here: bool = False) -> Piece:
    return Piece(f"{place}{number}", place, model or f"m{number}", seconds, here)


def ran(pieces: list[Piece], simulation: Simulation | None = None, **given: object) -> Simulation:
    simulation = simulation or Simulation(quick)
    simulation.run(Agenda(simulation.told, **given), pieces)  # type: ignore[arg-type]
    return simulation


def test_longest_runs_first_and_the_unknown_before_all() -> None:
    told = ran([piece("a", 0, 5), piece("a", 1, 50), piece("a", 2, None), piece("a", 3, 20)])
    assert told.started() == ["a2", "a1", "a3", "a0"]


def test_places_run_beside_each_other_and_a_place_one_by_one() -> None:
    told = ran([piece(place, number) for place in "abc" for number in range(4)])
    assert told.now == 40.0


def test_models_share_the_places_where_times_tie() -> None:
    pieces = [Piece(f"{place}-{model}", place, model, 10.0) for place in "abc" for model in ("x", "y", "z")]
    first = ran(pieces).started()[:3]
    assert {id.partition("-")[2] for id in first} == {"x", "y", "z"}


def test_places_take_turns_where_few_may_run() -> None:
    told = ran([piece(place, number) for place in "abc" for number in range(2)], parallel=1)
    assert [id[0] for id in told.started()] == ["a", "b", "c", "a", "b", "c"]


def test_pieces_that_arrive_later_run_too() -> None:
    told = Simulation(quick, arrivals={5.0: [piece("b", 0)], 100.0: [piece("a", 1)]})
    ran([piece("a", 0)], told)
    assert told.now == 110.0
    assert [told.of(id)[-1] for id in ("a0", "b0", "a1")] == ["done"] * 3


def test_lost_link_is_tried_again_and_does_not_hold_up_the_others() -> None:
    told = Simulation(lambda piece, attempt: (1.0, LinkLost("gone") if (piece.id, attempt) == ("a0", 1) else None))
    ran([piece("a", 0, 30), piece("a", 1, 20), piece("a", 2, 10)], told)
    assert told.of("a0") == ["running", "again", "running", "done"]
    assert told.started()[:3] == ["a0", "a1", "a2"]
    assert told.last("a0").attempts == 2


def test_busy_device_rests_as_a_whole_and_is_not_given_up() -> None:
    told = Simulation(lambda piece, attempt: (1.0, DeviceBusy("held") if told.now < 200 else None))
    ran([piece("a", number) for number in range(4)], told)
    assert {told.last(f"a{number}").state for number in range(4)} == {"done"}
    early = [id for (now, change), id in zip(told.changes, map(str, range(99)), strict=False)
             if change.state == "running" and now < 200]  # fmt: skip
    assert len(early) < 12, "each piece was tried by itself, though the device is busy for all"


def test_device_that_comes_back_within_minutes_is_measured() -> None:
    told = Simulation(lambda piece, attempt: (1.0, DeviceUnreachable("off") if told.now < 45 else None))
    ran([piece("a", number) for number in range(4)], told)
    assert {told.last(f"a{number}").state for number in range(4)} == {"done"}


def test_device_that_stays_away_is_given_up_and_the_rest_skipped_with_the_reason() -> None:
    told = Simulation(lambda piece, attempt: (1.0, DeviceUnreachable("off") if piece.place == "a" else None))
    ran([piece(place, number) for place in "ab" for number in range(4)], told)
    states = Counter(told.last(f"a{number}").state for number in range(4))
    assert states == {"failed": 1, "skipped": 3}
    skipped = next(change for _, change in told.changes if change.state == "skipped")
    assert skipped.why == f"a was given up after {MOST_FAILURES} failures in a row"
    assert {told.last(f"b{number}").state for number in range(4)} == {"done"}


def test_piece_for_a_place_that_was_given_up_is_skipped_as_it_comes() -> None:
    told = Simulation(lambda piece, attempt: (1.0, DeviceUnreachable("off")), arrivals={9999.0: [piece("a", 9)]})
    ran([piece("a", 0)], told)
    assert told.of("a9") == ["skipped"]


def test_what_will_not_pass_fails_at_once_and_alone() -> None:
    told = Simulation(lambda piece, attempt: (1.0, NoRoom("full") if piece.id == "a1" else None))
    ran([piece("a", number) for number in range(3)], told)
    assert told.of("a1") == ["running", "failed"]
    assert isinstance(told.last("a1").error, NoRoom)
    assert told.of("a2")[-1] == "done"


def test_success_in_between_forgives_earlier_failures() -> None:
    told = Simulation(lambda piece, attempt: (1.0, AgentFailed("no") if int(piece.id[1:]) % 4 else None))
    ran([piece("a", number) for number in range(16)], told)
    assert "skipped" not in {told.last(f"a{number}").state for number in range(16)}


def test_nothing_starts_that_would_end_after_the_deadline() -> None:
    told = ran([piece("a", 0, 60), piece("a", 1, 50), piece("a", 2, 30), piece("a", 3, None)], deadline=100.0)
    assert told.last("a3").state == told.last("a0").state == told.last("a2").state == "done"
    assert (told.last("a1").state, told.last("a1").why) == ("skipped", DEADLINE)


def test_retry_after_the_deadline_is_no_retry() -> None:
    told = Simulation(lambda piece, attempt: (1.0, LinkLost("gone")))
    ran([piece("a", 0, 5)], told, deadline=7.0)
    assert told.of("a0") == ["running", "failed"]
    assert isinstance(told.last("a0").error, LinkLost)


def test_stopped_agenda_skips_what_waits_and_what_was_cut_off() -> None:
    told = Simulation(quick)
    agenda = Agenda(told.told)
    for number in range(3):
        agenda.add(piece("a", number))
    (running,) = agenda.starts(0.0)
    agenda.stop("enough")
    assert not agenda.finished and agenda.starts(1.0) == []
    agenda.ended(running.id, LinkLost("cut"), 1.0)
    agenda.add(piece("b", 0))
    assert agenda.finished
    assert {told.last(id).why for id in ("a0", "a1", "a2", "b0")} == {"enough"}


def test_piece_that_ends_well_though_it_was_stopped_is_done() -> None:
    told = Simulation(quick)
    agenda = Agenda(told.told)
    agenda.add(piece("a", 0))
    agenda.starts(0.0)
    agenda.stop("enough")
    agenda.ended("a0", None, 1.0)
    assert told.last("a0").state == "done"


def test_piece_that_hangs_is_abandoned_and_its_late_end_ignored() -> None:
    told = Simulation(quick)
    agenda = Agenda(told.told)
    agenda.add(piece("a", 0))
    agenda.starts(0.0)
    agenda.stop("enough")
    agenda.abandon()
    agenda.ended("a0", None, 9.0)
    assert told.of("a0") == ["running", "skipped"]
    assert agenda.running == 0


def test_quiet_waits_for_what_is_measured_here_and_holds_up_only_that() -> None:
    agenda = Agenda()
    for one in (piece("h", 0, here=True), piece("h", 1, here=True), piece("r", 0)):
        agenda.add(one)
    assert [one.id for one in agenda.starts(0.0)] == ["h0", "r0"]
    agenda.want_quiet()
    assert not agenda.grant_quiet()
    agenda.ended("h0", None, 1.0)
    assert [one.id for one in agenda.starts(1.0)] == ["h1"], "what is ready here goes before a build"
    agenda.ended("h1", None, 2.0)
    assert agenda.starts(2.0) == [] and agenda.grant_quiet()
    agenda.add(piece("h", 2, here=True))
    agenda.add(piece("r", 1))
    agenda.ended("r0", None, 3.0)
    assert [one.id for one in agenda.starts(3.0)] == ["r1"]
    agenda.end_quiet()
    assert [one.id for one in agenda.starts(4.0)] == ["h2"]


@st.composite
def _farms(draw: st.DrawFn) -> tuple[list[Piece], dict[float, list[Piece]], dict[str, list[int]]]:
    """Pieces that are there, pieces that come, and how the attempts of each end."""
    count = draw(st.integers(1, 30))
    pieces = [
        Piece(
            f"p{number}",
            draw(st.sampled_from("abcd")),
            draw(st.sampled_from("xyz")),
            draw(st.none() | st.floats(0.5, 100)),
            draw(st.booleans()),
        )
        for number in range(count)
    ]
    cut = draw(st.integers(0, count))
    arrivals: dict[float, list[Piece]] = defaultdict(list)
    for one in pieces[cut:]:
        arrivals[draw(st.floats(0, 500))].append(one)
    fates = {one.id: draw(st.lists(st.integers(0, 5), min_size=12, max_size=12)) for one in pieces}
    return pieces[:cut], dict(arrivals), fates


@settings(max_examples=150, deadline=None)
@given(_farms(), st.none() | st.floats(0, 800), st.integers(1, 4))
def test_whatever_happens_every_piece_ends_once_and_never_two_at_a_place(
    farm: tuple[list[Piece], dict[float, list[Piece]], dict[str, list[int]]], deadline: float | None, parallel: int
) -> None:
    pieces, arrivals, fates = farm
    errors = (None, None, LinkLost("l"), DeviceBusy("b"), DeviceUnreachable("u"), NoRoom("n"))

    def work(piece: Piece, attempt: int) -> tuple[float, BaseException | None]:
        return piece.expected_s or 7.0, errors[fates[piece.id][attempt % 12]]

    told = Simulation(work, arrivals)
    agenda = Agenda(told.told, deadline=deadline, parallel=parallel)
    told.run(agenda, pieces)
    assert agenda.finished and agenda.running == 0
    everything = [*pieces, *(one for several in arrivals.values() for one in several)]
    for one in everything:
        states = told.of(one.id)
        assert [state for state in states if state in FINAL] == states[-1:], one
    running: dict[str, str] = {}
    for now, change in told.changes:
        place, id = change.piece.place, change.piece.id
        if change.state == "running":
            assert place not in running
            assert deadline is None or now + (change.piece.expected_s or 0.0) <= deadline
            running[place] = id
            assert len(running) <= parallel
        elif running.get(place) == id:
            del running[place]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1, 1000), min_size=1, max_size=20, unique=True))
def test_of_what_is_there_at_a_place_the_longest_always_starts_first(seconds: list[float]) -> None:
    told = ran([piece("a", number, one) for number, one in enumerate(seconds)])
    expected = [change.piece.expected_s for _, change in told.changes if change.state == "running"]
    assert expected == sorted(seconds, reverse=True)


@pytest.mark.parametrize("dying", [0, 300])
def test_thousand_devices_are_planned_and_finished(dying: int) -> None:
    pieces = [
        Piece(f"{device}-{model}", f"d{device}", f"m{model}", 20.0 + model)
        for device in range(1000)
        for model in range(10)
    ]

    def work(piece: Piece, attempt: int) -> tuple[float, BaseException | None]:
        return piece.expected_s or 0.0, DeviceUnreachable("off") if int(piece.place[1:]) < dying else None

    told = Simulation(work)
    agenda = Agenda(told.told, parallel=1000)
    told.run(agenda, pieces)
    states = Counter(change.state for _, change in told.changes)
    assert states["done"] == 10 * (1000 - dying)
    assert states["failed"] + states["skipped"] == 10 * dying
    if not dying:
        assert told.now == sum(20.0 + model for model in range(10))
