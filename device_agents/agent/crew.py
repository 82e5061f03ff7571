"""The variants of one job: which are still in the race, and the processes that run them."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from .bundle import Refused, read_bundle
from .handle import Handle
from .lines import Lines

CANARY_PROCESSES = 4


class Variant:
    """What the session knows of one variant: its request to load, and whether it is still in the race."""

    def __init__(self, given: Dict[str, Any]) -> None:
        self.given = given
        self.name: str = given["name"]
        self.path = ""
        self.manifest: Dict[str, Any] = {}
        self.error: Optional[str] = None


class Crew:
    """The job's variants and its canary model, which races along so that a change of the device shows in it."""

    def __init__(self, job: Dict[str, Any], root: str, out: Lines, deadline: float) -> None:
        """deadline: time.monotonic() at which the job ends."""
        self.job = job
        self.root = root
        self.out = out
        self.deadline = deadline
        self.cpus: List[int] = []
        self.board = ""
        self._variants = [Variant(given) for given in job["variants"]]
        self._canary = Variant(job["canary"]) if job.get("canary") else None

    def verify(self) -> None:
        """Holds every bundle against its digest; one that doesn't hold leaves the race."""
        for variant in self.racing(0):
            try:
                variant.path, variant.manifest = read_bundle(variant.given)
            except Refused as refused:
                self.failed(variant, str(refused))

    def live(self) -> List[Variant]:
        """The job's own variants that haven't failed."""
        return [variant for variant in self._variants if variant.error is None]

    def racing(self, process: int) -> List[Variant]:
        """Those, and in the first few processes the canary model behind them: more would tell no more of the device."""
        runs = self._canary is not None and self._canary.error is None and process < CANARY_PROCESSES
        return self.live() + ([self._canary] if self._canary and runs and self.live() else [])

    def failed(self, variant: Variant, message: str) -> None:
        """Takes a variant out of the race and says why."""
        variant.error = message
        self.out.write("failed", name=variant.name, message=message)

    def open(self) -> Handle:
        """A fresh worker process."""
        return Handle(self.root, self.deadline, self.job.get("memory_limit_bytes"))

    def load(self, handle: Handle, variant: Variant) -> Dict[str, Any]:
        """Has a worker load a variant; its reply. Raises Failed."""
        given = variant.given
        return handle.ask(
            "load",
            model=variant.path,
            runtime=given["runtime"],
            runtime_folder=given["runtime_folder"],
            precision=given.get("precision") or "float32",
            providers=given.get("providers") or [],
            options=given.get("options") or {},
            inputs=variant.manifest.get("inputs") or [],
            outputs=variant.manifest.get("outputs") or [],
            engines=os.path.join(self.root, "engines"),
            board=self.board,
            threads=self.job["threads"],
            cpus=self.cpus,
            data="" if variant is self._canary else self.job.get("evaluation") or "",
        )
