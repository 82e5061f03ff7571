"""The events that an agent may write, each with its types and bounds; whatever else comes over the link is none.

One JSON object a line, told apart by `kind` (the writer: agent/session.py). Fields that came with a later agent are
optional here, and fields that aren't named here are left out: only what was checked goes further.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from device_agents import foreign
from device_agents.farm.job import CANARY, Job
from device_agents.foreign import NUMBER, WORD, Json, printable

Event = dict[str, Any]

MOST_BYTES = 1 << 20
"""Of one event: a block of 2000 samples takes 40 KB."""
_SAMPLES = 10_000

Text = Annotated[str, AfterValidator(printable)]
Word = Annotated[str, AfterValidator(lambda text: printable(text, WORD))]
Name = Annotated[str, Field(min_length=1, max_length=WORD)]
# Times are nanoseconds.
Ns = Annotated[int, Field(ge=0, le=NUMBER)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Bytes = Annotated[int, Field(ge=0, le=NUMBER)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Real = Annotated[float, Field(ge=-1e300, le=1e300)]
Milli = Annotated[float, Field(ge=0, le=1e12)]
Process = Annotated[int, Field(ge=0, lt=10_000)]
Round = Annotated[int, Field(ge=0, lt=1_000_000)]
Words = Annotated[list[Word], Field(max_length=100, fail_fast=True)]
Texts = Annotated[list[Text], Field(max_length=100, fail_fast=True)]
Facts = Annotated[Json, AfterValidator(foreign.facts)]
State = Annotated[Json, AfterValidator(foreign.state)]
Cleaned = Annotated[Json, AfterValidator(foreign.clean)]


class Part(BaseModel):
    """Fields of something that a device wrote; those that aren't named are left out."""

    # Strict: a number in a string is no number. Finite: JSON has no NaN, but parsers take it.
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Start(Part):
    kind: Literal["start"]
    agent: Word
    facts: Facts
    state: State
    cpus: Annotated[list[Annotated[int, Field(ge=0, lt=100_000)]], Field(max_length=4096, fail_fast=True)]
    idle_mw: Real | None = None
    steps: Count | None = None
    canary_usual_ns: Ns | None = None
    waited_s: Seconds = 0.0
    problems: Texts = Field(default_factory=list)


class _State(Part):
    kind: Literal["state"]
    state: State


class _Beat(Part):
    kind: Literal["beat"]


class _Waiting(Part):
    kind: Literal["waiting"]
    reason: Text
    seconds: Seconds


class _Refused(Part):
    kind: Literal["refused"]
    problems: Texts = Field(min_length=1)


class _Canary(Part):
    kind: Literal["canary"]
    process: Process
    round: Round
    when: Word
    ns: Annotated[int, Field(ge=1, le=NUMBER)]


class _Loaded(Part):
    """load_ns, first_ns: None where a phone's program doesn't say."""

    kind: Literal["loaded"]
    name: Name
    process: Process
    load_ns: Ns | None
    first_ns: Ns | None
    providers: Words
    versions: Annotated[dict[Word, Word | None], Field(max_length=100)]
    pinned: bool
    base_bytes: Bytes | None = None


class _Warmed(Part):
    kind: Literal["warmed"]
    name: Name
    process: Process
    calls: Count
    seconds: Seconds
    stable: bool


class _Block(Part):
    kind: Literal["block"]
    name: Name
    process: Process
    round: Round
    position: Annotated[int, Field(ge=0, lt=10_000)]
    samples_ns: Annotated[
        list[Annotated[int, Field(ge=1, le=NUMBER)]], Field(min_length=1, max_length=_SAMPLES, fail_fast=True)
    ]
    batch: Annotated[int, Field(ge=1, le=10**9)]
    wall_ns: Ns
    # Signed: one block's figure is off by a tick either way.
    others_ns: Annotated[int, Field(ge=-NUMBER, le=NUMBER)] | None
    watched_ns: Ns
    attempt: Annotated[int, Field(ge=0, le=3)] = 0
    canary_ratio: Annotated[float, Field(ge=0, le=1e9)] | None = None
    kept: bool = True
    held: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _took_its_time(self) -> _Block:
        if sum(self.samples_ns) > self.wall_ns:
            raise ValueError("the samples took longer than the block")
        return self


class _Memory(Part):
    kind: Literal["memory"]
    name: Name
    peak_bytes: Bytes | None
    base_bytes: Bytes | None


class _Answers(Part):
    name: Word
    value: Annotated[float, Field(ge=0, le=1)] | None
    n: Annotated[int, Field(ge=1, le=NUMBER)]
    outputs_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Accuracy(Part):
    kind: Literal["accuracy"]
    name: Name
    accuracy: _Answers


class _Section(Part):
    mj: Real
    seconds: Seconds
    samples: Count


class _Energy(Part):
    kind: Literal["energy"]
    name: Name
    energy: _Section | None
    calls: Count


class _Opinion(Part):
    tool: Word
    p50_ms: Milli | None = None
    p90_ms: Milli | None = None
    p99_ms: Milli | None = None
    gpu_p50_ms: Milli | None = None
    qps: Milli | None = None
    passed: bool


class _SecondOpinion(Part):
    kind: Literal["second_opinion"]
    name: Name
    second_opinion: _Opinion


class _Failed(Part):
    kind: Literal["failed"]
    name: Name
    message: Text


class _Look(Part):
    kind: Literal["look"]
    processes: Process


class _End(Part):
    kind: Literal["end"]
    ok: bool
    error: Text | None = None
    message: Text | None = None
    errno: Annotated[int, Field(ge=0, le=100_000)] | None = None
    holder: Cleaned | None = None


_Measured = _Canary | _Loaded | _Warmed | _Block | _Memory | _Accuracy | _Energy | _SecondOpinion | _Failed
_Told = _Start | _State | _Beat | _Waiting | _Refused | _Look | _End
_EVENT: TypeAdapter[_Told | _Measured] = TypeAdapter(Annotated[_Told | _Measured, Field(discriminator="kind")])
_END: TypeAdapter[_End] = TypeAdapter(_End)
_FOREIGN = {"union_tag_invalid", "union_tag_not_found", "json_invalid", "model_attributes_type", "dict_type"}


class Malformed(ValueError):
    """A line that says that it is an event of the protocol, and isn't a sound one."""


def names_of(job: Job) -> frozenset[str]:
    """What a job's events may be about: its variants, and the canary model where it has one."""
    names = {variant.name for variant in job.variants}
    return frozenset(names | {CANARY} if job.canary is not None else names)


def read(line: bytes, names: Collection[str]) -> Event | None:
    """The event on a line, its texts printable; None for what doesn't say that it is one. Raises Malformed.

    names: what events may be about. Never raises anything else, whatever the line is.
    """
    if len(line) > MOST_BYTES:
        raise Malformed(f"{len(line)} bytes")
    try:
        event = _EVENT.validate_json(line).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] in _FOREIGN:
            return None
        raise Malformed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if event.get("name", next(iter(names))) not in names:
        raise Malformed("it is about a variant that the job doesn't have")
    return event


def parse(line: bytes, job: Job) -> Event | None:
    """The event on a line; None for anything else, malformed ones among it. Never raises."""
    try:
        return read(line, names_of(job))
    except Malformed:
        return None


def closing(line: bytes) -> Event | None:
    """The closing marker on a line; None for anything else. Never raises."""
    try:
        return _END.validate_json(line).model_dump()
    except ValidationError:
        return None
