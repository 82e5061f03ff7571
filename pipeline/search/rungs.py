"""The candidates of a search: proposed from the front, trained for a little while, measured, learnt from; the best of
them trained for longer (successive halving, Jamieson & Talwalkar 2016, arXiv 1502.07943)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.build import StepFailed
from pipeline.pruning.plan import PlanMismatch
from pipeline.pruning.proven import WrongCut
from pipeline.pruning.selection import ImpossibleRatio
from pipeline.search.allocate import Proposal, allocate, pick
from pipeline.search.candidates import Candidate, Trained, Workshop, by_way
from pipeline.search.constraints import Constraints
from pipeline.search.forecast import Forecast
from pipeline.search.looking import Looking, laid_out
from pipeline.search.notes import BudgetSpent, Notes, Watched
from pipeline.search.pace import EXPLORING, ROUNDS, Pace, aims, epoch_of, short_epochs, trials
from pipeline.search.pricing import Price, Pricing
from pipeline.search.space import Choice, Space
from pipeline.steps.prune import DidNotShrink
from pipeline.training import TrainingFailed

SPARSITY = 0.75
"""Zeros that the best one is tried with for a smaller download: it cost 0.15 points on a ResNet-8, and no time."""

LOOKING = 0.1
"""Share of the budget that one short session may take."""
OVER = "its time was over"
SPOILT = (DidNotShrink, ImpossibleRatio, PlanMismatch, TrainingFailed, WrongCut)
"""What takes only its own candidate down."""


@dataclass
class Rungs:
    """until_s: when training must end, in seconds of the search; base: the trained network's metric on validation.

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
        full = self.forecast.full
        short = short_epochs(full)
        for rung, (epochs, most, share) in enumerate([(max(short + 1, full // 3), 3, 0.4), (full, 2, 1.0)]):
            if epochs > short:
                self._prolong(f"rung-{rung}", epochs, most, share, last=epochs == full)
        self._sparse()

    def fits(self, price: Price) -> bool:
        """Whether a price is within what is asked."""
        slow = self.asked.max_ms is not None and price.ms > self.asked.max_ms
        big = self.asked.max_bytes is not None and price.bytes > self.asked.max_bytes
        return not (slow or big)

    def results(self) -> list[Trained]:
        """Of each choice the longest training that came to an end, and the sparse one; by name."""
        best: dict[tuple[Choice, float], Trained] = {}
        for one in self.trained.values():
            key = one.candidate.choice, one.candidate.sparsity
            if one.trouble is None and (key not in best or one.candidate.epochs > best[key].candidate.epochs):
                best[key] = one
        return sorted(best.values(), key=lambda one: one.candidate.name)

    def _explore(self, round_: int) -> bool:
        """Proposes, trains for a little while, measures, learns; False where there was no time for it."""
        name, epochs = f"round-{round_}", short_epochs(self.forecast.full)
        left = self.until_s - self.notes.spent_s
        if self.notes.read(name) is None and round_ and left < 3 * self._usual_s(epochs):
            return False
        content = self.notes.once(name, lambda: self._proposed(round_, epochs, left))
        candidates = [Candidate.from_json(one) for one in content["candidates"]]
        for candidate in candidates:
            self._numbers.setdefault(candidate.choice, candidate.number)
            self.predicted.setdefault(candidate.name, content["predicted"][candidate.name])
        first = not self.trained
        for place, candidate in enumerate(candidates):
            done = self._train(candidate, until=None if first and place == 0 else self.until_s)
            if done is None:
                break
            if first and place == 0:
                self._learn_pace(done)
        self._look(name, [one for one in candidates if one.name in self.trained])
        return bool(candidates)

    def _proposed(self, round_: int, epochs: int, left: float) -> dict[str, Any]:
        # What is learnt between two candidates of a round is of no use to the second: they are proposed together.
        self.note(f"allocation {round_ + 1}: {trials(self.budget_s)} choices by prediction")
        front = self._front(round_)
        shares = [self._share(one.choice) for one in front]
        usual = sum(shares) / max(1, len(shares))
        allowed = EXPLORING * (self.until_s - self.pace_at) / ROUNDS - self.pace.look_s / 2
        count = max(1, min(6, int(min(left, allowed) / (self.pace.training_s(usual, epochs) + self.pace.bundle_s))))
        picked = pick(front, aims(self.asked.max_drop)[:count], list(self._numbers), self.fits)
        return self._told(picked, epochs)

    def _told(self, picked: Sequence[Proposal], epochs: int) -> dict[str, Any]:
        found: list[Candidate] = []
        predicted = {}
        for one in picked:
            number = self._numbers.setdefault(one.choice, len(self._numbers) + 1)
            found.append(Candidate(number, one.choice, epochs))
            predicted[found[-1].name] = {"ms": one.price.ms, "lost": one.lost, "bytes": one.price.bytes}
        return {"candidates": [one.to_json() for one in found], "predicted": predicted}

    def _front(self, round_: int) -> list[Proposal]:
        return allocate(
            self.space, self.pricing.best, self.forecast.lost, self.forecast.sensitivity.lost,
            self.seed * 1000 + round_, trials(self.budget_s), self.notes.tick,
        )  # fmt: skip

    @property
    def pace_at(self) -> float:
        """Seconds of the search at which its training began."""
        return float(self.notes.once("training-began", lambda: {"seconds": self.notes.spent_s})["seconds"])

    def _learn_pace(self, done: Trained) -> None:
        epoch = epoch_of(done.seconds, self._share(done.candidate.choice), done.candidate.epochs)
        found = self.notes.once("pace", lambda: {"epoch_s": epoch})
        self.pace = replace(self.pace, epoch_s=max(1e-3, float(found["epoch_s"])))

    def _share(self, choice: Choice) -> float:
        return self.space.size(choice).macs / max(1, self.space.size(Choice()).macs)

    def _usual_s(self, epochs: int) -> float:
        shares = [self._share(choice) for choice in self._numbers]
        return self.pace.training_s(sum(shares) / max(1, len(shares)), epochs)

    def _train(self, candidate: Candidate, until: float | None) -> Trained | None:
        """One candidate, from the notes where it was trained before; None where the time was over."""
        content = self.notes.read(f"trained/{candidate.name}")
        if content is None:
            self.watched.until = until
            try:
                content = self.workshop.train(candidate).to_json()
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
        if done.validation is not None and not candidate.sparsity:
            self.forecast.learn(candidate.choice, candidate.epochs, self.base - done.validation)
        return None if done.trouble == OVER else done

    def _tell(self, done: Trained) -> None:
        size = self.space.size(done.candidate.choice)
        found = f"validation {done.validation:.4f}" if done.validation is not None else ""
        self.note(f"{done.candidate.name}: {size.macs / 1e6:.2f} M MACs, {found or done.trouble}")

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
        distinct = list({way.variant: way for way in [base, *ways]}.values())
        plan, built = self.workshop.bundles(candidates, distinct, only={
            candidate.name: way.variant for candidate, way in zip(candidates, ways, strict=True)
        })  # fmt: skip
        folders = laid_out(self.looking.project, plan, built)
        if self.base_variant not in folders:
            return {}
        times = self.looking.short(self.base_variant, folders)
        found: dict[str, dict[str, float]] = {}
        for candidate in candidates:
            for way, variant in by_way(plan, candidate.name, distinct).items():
                if variant.name in times:
                    # By its ratio to the base of the same session: the machine may have been slower then.
                    found.setdefault(candidate.name, {})[way] = base.ms / times[variant.name]["speedup"]
        return found

    def _prolong(self, name: str, epochs: int, most: int, share: float, last: bool) -> None:
        """The best so far, trained for longer, in a share of the time that is left."""
        left = (self.until_s - self.notes.spent_s) * share
        content = self.notes.once(name, lambda: self._chosen(epochs, most, left, last))
        for one in content["candidates"]:
            candidate = Candidate.from_json(one)
            self._numbers.setdefault(candidate.choice, candidate.number)
            self.predicted.setdefault(candidate.name, content["predicted"][candidate.name])
            if self._train(candidate, self.until_s) is None:
                break

    def _chosen(self, epochs: int, most: int, left: float, last: bool) -> dict[str, Any]:
        pool = [
            Proposal(choice, self.forecast.lost(choice), self.pricing.best(choice))
            for choice in dict.fromkeys(one.candidate.choice for one in self.results())
        ]
        if not last:  # what was learnt may have shown better ones than were tried
            pool += self._front(ROUNDS)
        unit = max(self.asked.max_drop, 0.002)
        picked = pick(pool, [unit * aim for aim in (0.85, 1.1, 0.6)[:most]], [], self.fits)
        shares = [self._share(one.choice) for one in picked]
        count = self.pace.fitting(left, shares, epochs)
        if not count and picked:
            done = max(
                (one.candidate.epochs for one in self.results() if one.candidate.choice == picked[0].choice), default=0
            )
            epochs = self.pace.epochs(left, shares[0], epochs) if last else 0
            count = 1 if epochs > done else 0
        return self._told(picked[:count], epochs)

    def _sparse(self) -> None:
        """Zeros on top of the best one, where there is time."""
        allowed = [one for one in self.results() if self.base - (one.validation or 0.0) <= self.asked.max_drop]
        best = min(allowed, key=lambda one: self.pricing.best(one.candidate.choice).ms, default=None)

        def make() -> dict[str, Any]:
            left = self.until_s - self.notes.spent_s
            if best is None or self.pace.training_s(self._share(best.candidate.choice), best.candidate.epochs) > left:
                return {"candidates": []}
            return {"candidates": [replace(best.candidate, sparsity=SPARSITY).to_json()]}

        for one in self.notes.once("sparse", make)["candidates"]:
            self._train(Candidate.from_json(one), self.until_s)
