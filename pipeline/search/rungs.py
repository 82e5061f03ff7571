"""The candidates of a search: proposed, trained for a little while, measured, learnt from; then the best get long
trainings, one after another, each showing where the next may go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from pipeline.build import StepFailed
from pipeline.search.allocate import Proposal, allocate, one_by_one, pick
from pipeline.search.candidates import SPOILT, Candidate, Trained, Workshop
from pipeline.search.constraints import Constraints
from pipeline.search.forecast import Forecast
from pipeline.search.light import AS_IT_IS, Light, bearable
from pipeline.search.looking import Looking, look_at
from pipeline.search.notes import BudgetSpent, Notes, Watched
from pipeline.search.pace import EXPLORING, ROUNDS, Pace, aims, epoch_of, reserved, short_epochs, trials
from pipeline.search.pricing import Price, Pricing
from pipeline.search.space import Choice, Space

LONG = 12
"""How many are trained for long, at most."""
AIMS = (0.85, 1.2)
"""Shares of what may be lost that a long training is to lose by prediction: half of all predictions are too good. Where
nothing quicker is left within the first, one that may hold after all is worth the time that is left."""
QUICKER = 0.98
"""What is not even so much faster than the best one, by prediction, is not worth a long training."""
SURELY = 0.95
"""Of the time that is left, what a long training is planned for: one that is cut off is lost."""
LOOKING = 0.1
"""Share of the budget that one short session may take."""
OVER = "its time was over"


@dataclass
class Rungs:
    """until_s: when training must end, in seconds of the search; base: the trained network's metric on validation;
    allowed: what of it a candidate may lose there (constraints.cautious).

    trained: all candidates so far, by name; rates: (predicted, found) of each short look, ms;
    predicted, looked: by candidate, what was predicted of it, and ms by way.
    """

    space: Space
    workshop: Workshop
    looking: Looking
    pricing: Pricing
    forecast: Forecast
    asked: Constraints
    notes: Notes
    watched: Watched
    pace: Pace
    base: float
    allowed: float
    base_variant: str
    until_s: float
    budget_s: float
    seed: int
    note: Callable[[str], None]
    trained: dict[str, Trained] = field(default_factory=dict)
    rates: list[tuple[float, float]] = field(default_factory=list)
    predicted: dict[str, dict[str, float]] = field(default_factory=dict)
    looked: dict[str, dict[str, float]] = field(default_factory=dict)
    _numbers: dict[Choice, int] = field(default_factory=dict)

    def run(self) -> None:
        """Explores, then trains the best for longer. What the time doesn't allow is left out."""
        for round_ in range(ROUNDS):
            if not self._explore(round_):
                break
        for place in range(LONG):
            if not self._prolong(place):
                break

    def fits(self, price: Price) -> bool:
        """Whether a price is within what is asked."""
        slow = self.asked.max_ms is not None and price.ms > self.asked.max_ms
        big = self.asked.max_bytes is not None and price.bytes > self.asked.max_bytes
        return not (slow or big)

    def lost(self, one: Trained) -> float:
        """What a candidate loses of the metric on validation."""
        return self.base - (one.validation or 0.0)

    def results(self) -> list[Trained]:
        """Of each choice the longest training that came to an end, and the light ones; by name. Where going without any
        lost less, there was none."""
        best: dict[tuple[Choice, Light], Trained] = {}
        bare = {one.candidate.choice: one for one in self.trained.values() if not one.candidate.epochs}
        for one in sorted(self.trained.values(), key=lambda one: one.candidate.epochs):
            if one.trouble is None:
                untrained = None if one.candidate.light else bare.get(one.candidate.choice)
                worse = untrained is not None and self.lost(untrained) <= self.lost(one)
                best[one.candidate.choice, one.candidate.form] = untrained if untrained and worse else one
        return sorted(best.values(), key=lambda one: one.candidate.name)

    def _explore(self, round_: int) -> bool:
        """Proposes, trains for a little while, measures, learns; False where there was no time for it."""
        name, epochs = f"round-{round_}", short_epochs(self.forecast.full)
        left = self.until_s - self.notes.spent_s
        worth = 3 if round_ else int(bool(self._holding()))  # where nothing holds, the very first is trained anyhow
        if self.notes.read(name) is None and worth and left < worth * self._usual_s(epochs):
            return False
        candidates = self.taken(self.notes.once(name, lambda: self._proposed(round_, epochs, left)))
        first = not self._holding() and not any(one.candidate.epochs for one in self.trained.values())
        for place, candidate in enumerate(candidates):
            if (done := self.train(candidate, until=None if first and place == 0 else self.until_s)) is None:
                break
            if self._harmed(done):
                self.train(replace(candidate, epochs=0), until=None)
        self._look(name, [one for one in candidates if one.name in self.trained])
        return bool(candidates)

    def _harmed(self, done: Trained) -> bool:
        """Whether a short training may have lost more than going without any does, and there is time to see."""
        choice, forecast = done.candidate.choice, self.forecast
        new = forecast.brief and done.validation is not None and choice not in forecast.bare
        if not new or self.lost(done) <= forecast.untrained(choice):
            return False
        return bool(self.notes.once(f"harmed-{done.candidate.name}", lambda: self.notes.spent_s < self.until_s))

    def _proposed(self, round_: int, epochs: int, left: float) -> dict[str, Any]:
        # What is learnt between two candidates of a round is of no use to the second: they are proposed together.
        self.note(f"allocation {round_ + 1}: {trials(self.budget_s)} choices by prediction")
        front = self._front(round_)
        usual = sum(self.share(one.choice) for one in front) / max(1, len(front))
        allowed = EXPLORING * (self.until_s - self.pace_at) / ROUNDS - self.pace.look_s / 2
        count = max(1, min(6, int(min(left, allowed) / (self.pace.training_s(usual, epochs) + self.pace.bundle_s))))
        longest = self._longest()
        # What was tried without training is trained for long if at all: for what INT8 will lose.
        tried = [choice for choice in self._numbers if longest.get(choice) != 0 or not choice.nothing]
        picked = pick(front, aims(self.asked.max_drop)[:count], tried, self.fits)
        return self.told(picked, epochs)

    def told(self, picked: Sequence[Proposal], epochs: int, form: Light = AS_IT_IS) -> dict[str, Any]:
        found: list[Candidate] = []
        predicted = {}
        for one in picked:
            number = self._numbers.setdefault(one.choice, len(self._numbers) + 1)
            found.append(Candidate(number, one.choice, epochs, form))
            predicted[found[-1].name] = {"ms": one.price.ms, "lost": one.lost, "bytes": one.price.bytes}
        return {"candidates": [one.to_json() for one in found], "predicted": predicted}

    def taken(self, content: Mapping[str, Any]) -> list[Candidate]:
        """The candidates that `_told` tells of; their numbers and what was predicted of them are known from now on."""
        found = [Candidate.from_json(one) for one in content["candidates"]]
        for candidate in found:
            self._numbers.setdefault(candidate.choice, candidate.number)
            self.predicted.setdefault(candidate.name, content["predicted"][candidate.name])
        return found

    def _front(self, round_: int) -> list[Proposal]:
        space, price, forecast = self.space, self.pricing.best, self.forecast
        mild = one_by_one(space, price, forecast.lost) if forecast.brief else ()
        seed, count = self.seed * 1000 + round_, trials(self.budget_s)
        return allocate(space, price, forecast.lost, forecast.sensitivity.lost, seed, count, self.notes.tick, mild)

    @property
    def pace_at(self) -> float:
        """Seconds of the search at which its training began."""
        return float(self.notes.once("training-began", lambda: {"seconds": self.notes.spent_s})["seconds"])

    def _learn_pace(self) -> None:
        """From the newest trainings: of noted seconds alone, so that a search that goes on learns the same."""
        found = [
            epoch_of(one.seconds, self.share(one.candidate.choice), one.candidate.epochs)
            for one in self.trained.values()
            if one.trouble is None and one.seconds and one.candidate.epochs and not one.candidate.light
        ]
        if found:
            beside = [one.beside_s for one in self.trained.values() if one.beside_s and one.candidate.epochs][-3:]
            self.pace = replace(
                self.pace, epoch_s=max(1e-3, median(found[-3:])), cut_s=median(beside) if beside else self.pace.cut_s
            )

    def share(self, choice: Choice) -> float:
        return self.space.size(choice).macs / max(1, self.space.size(Choice()).macs)

    def _usual_s(self, epochs: int) -> float:
        return self.pace.training_s(sum(map(self.share, self._numbers)) / max(1, len(self._numbers)), epochs)

    def train(self, candidate: Candidate, until: float | None) -> Trained | None:
        """One candidate, from the notes where it was trained before; None where the time was over."""
        content = self.notes.read(f"trained/{candidate.name}")
        if content is None:
            self.watched.until, began, before = until, self.notes.spent_s, self.watched.epochs_s
            try:
                found = self.workshop.train(candidate)
                seconds = self.watched.epochs_s - before or found.seconds
                beside_s = max(0.0, self.notes.spent_s - began - seconds)
                content = replace(found, seconds=seconds, beside_s=beside_s).to_json()
            except BudgetSpent:
                content = Trained(candidate, None, 0.0, OVER).to_json()
            except SPOILT as error:
                content = Trained(candidate, None, 0.0, error.what).to_json()
            except StepFailed as error:
                if isinstance(error.__cause__, MemoryError | OSError):
                    raise  # there may be room the next time
                content = Trained(candidate, None, 0.0, error.what).to_json()
            finally:
                self.watched.until = None
            content = self.notes.write(f"trained/{candidate.name}", content)
            self._tell(Trained.from_json(content))
        done = Trained.from_json(content)
        self.trained[candidate.name] = done
        if done.validation is not None and not candidate.light:
            self.forecast.learn(candidate.choice, candidate.epochs, self.base - done.validation)
        self._learn_pace()
        return None if done.trouble == OVER else done

    def _tell(self, done: Trained) -> None:
        found = f"validation {done.validation:.4f}" if done.validation is not None else done.trouble
        self.note(f"{done.candidate.name}: {self.space.size(done.candidate.choice).macs / 1e6:.2f} M MACs, {found}")

    def _look(self, name: str, candidates: Sequence[Candidate]) -> None:
        """Measures each candidate at the way where it is predicted to be fastest, beside the trained network."""
        if not candidates:
            return
        # Where a session takes much of the budget, the last one has to do.
        affordable = self.pace.look_s <= LOOKING * self.budget_s
        found = self.notes.once(f"{name}-measured", lambda: self._measured(candidates) if affordable else {})
        self.looked |= found
        for candidate in candidates:
            for variant, ms in found.get(candidate.name, {}).items():
                if (told := self.predicted.get(candidate.name)) is not None:
                    self.rates.append((told["ms"], ms))
                self.pricing.learn(candidate.choice, variant, ms)

    def _measured(self, candidates: Sequence[Candidate]) -> dict[str, dict[str, float]]:
        ways = [self.pricing.best(one.choice).way for one in candidates]
        base = next(way for way in self.pricing.ways if way.variant == self.base_variant)
        return look_at(self.looking, self.workshop, candidates, ways, base)

    def _prolong(self, place: int) -> bool:
        """Trains the fastest one that is predicted to hold what is allowed, for long; False where there is none."""
        candidates = self.taken(self.notes.once(f"long-{place}", lambda: self._chosen(place)))
        return bool(candidates) and self.train(candidates[0], self.until_s) is not None

    def _chosen(self, place: int) -> dict[str, Any]:
        """Not merely of what was tried: each training shows anew how much a choice loses, so others may come first."""
        best, full = self._best(), self.forecast.full
        if self._left(best) < self.pace.training_s(0.0, short_epochs(full) + 1):
            return self.told([], full)
        pool = self.pool(ROUNDS + place)  # an allocation takes its time too
        left, longest = self._left(best), self._longest()
        longer = []
        for one in pool:
            epochs = self.pace.epochs(left, self.share(one.choice), full)
            if epochs > max(longest.get(one.choice, 0), short_epochs(full)):
                lost = self.forecast.spared(one.choice, self.forecast.after(one.lost, epochs))
                longer.append((replace(one, lost=lost), epochs))
        for picked in pick([one for one, _ in longer], [aim * max(self.allowed, 0.001) for aim in AIMS], [], self.fits):
            if best is None or picked.price.ms < QUICKER * self._ms(best):
                return self.told([picked], dict(longer)[picked])
        return self.told([], full)

    def _left(self, best: Trained | None) -> float:
        """Seconds for a long training; some of them are kept from being used up by an epoch that takes longer."""
        left = SURELY * (self.until_s - self.notes.spent_s)
        short = short_epochs(self.forecast.full)
        long = any(one.trouble is None and one.candidate.epochs > short for one in self.trained.values())
        # A smaller download takes a training like the best one's, but being fast comes first.
        if best is not None and long and bearable(self.allowed):
            left -= reserved(self.budget_s) * self.pace.light_s(self.share(best.candidate.choice), self.forecast.full)
        return left

    def _longest(self) -> dict[Choice, int]:
        """Epochs that each choice was trained for at most; what failed would fail again, however long."""
        found: dict[Choice, int] = {}
        for one in self.trained.values():
            if not one.candidate.light and one.trouble != OVER:
                epochs = one.candidate.epochs if one.trouble is None else self.forecast.full
                found[one.candidate.choice] = max(epochs, found.get(one.candidate.choice, 0))
        return found

    def _best(self) -> Trained | None:
        """The fastest that was trained and holds what is allowed, if only as it was before."""
        longest = self._longest()
        return min((one for one in self._holding() if longest.get(one.candidate.choice)), key=self._ms, default=None)

    def _holding(self) -> list[Trained]:
        """Those with weights as training left them that lose no more than is allowed."""
        return [one for one in self.results() if not one.candidate.light and self.lost(one) <= self.allowed + 1e-9]

    def _ms(self, one: Trained) -> float:
        return self.pricing.best(one.candidate.choice).ms

    def holds(self, one: Trained) -> bool:
        """Whether a candidate is within all that is asked, as far as it is known."""
        return self.lost(one) <= self.allowed + 1e-9 and self.fits(self.pricing.best(one.candidate.choice))

    def pool(self, round_: int) -> list[Proposal]:
        """What was tried, and what is proposed by all that was learnt until now."""
        tried = dict.fromkeys(one.candidate.choice for one in self.results() if not one.candidate.light)
        return [
            *(Proposal(choice, self.forecast.lost(choice), self.pricing.best(choice)) for choice in tried),
            *self._front(round_),
        ]
