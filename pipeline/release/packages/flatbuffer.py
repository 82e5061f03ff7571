"""Writes flatbuffers of any schema by the numbers of its fields, so that no generated code has to be kept for a few
tables (https://flatbuffers.dev/internals/)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flatbuffers import Builder  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Byte:
    """An enum's or a union's number."""

    value: int


@dataclass(frozen=True)
class Int:
    """An int or a uint of 32 bits."""

    value: int


@dataclass(frozen=True)
class Table:
    """fields: by their number in the schema (a union takes two, its type and its table); what is left out isn't
    written."""

    fields: Mapping[int, Field]


Field = Byte | Int | Table | str | Sequence[str] | Sequence[float] | Sequence[Table]


def file(root: Table, identifier: bytes) -> bytes:
    """The flatbuffer of a root table; the same table gives the same bytes. identifier: four bytes."""
    import flatbuffers

    builder = flatbuffers.Builder(0)
    builder.Finish(_table(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


def _table(builder: Builder, table: Table) -> int:
    # What a table points to lies before it: flatbuffers are written backwards, and never two objects at a time.
    places = {
        number: _object(builder, value)
        for number, value in sorted(table.fields.items())
        if not isinstance(value, Byte | Int)
    }
    builder.StartObject(max(table.fields, default=-1) + 1)
    for number, value in sorted(table.fields.items()):
        if isinstance(value, Byte):
            builder.PrependUint8Slot(number, value.value, 0)
        elif isinstance(value, Int):
            builder.PrependInt32Slot(number, value.value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, places[number], 0)
    place: int = builder.EndObject()
    return place


def _object(builder: Builder, value: Any) -> int:
    if isinstance(value, str):
        place: int = builder.CreateString(value)
        return place
    if isinstance(value, Table):
        return _table(builder, value)
    numbers = bool(value) and not isinstance(value[0], str | Table)
    places = list(value) if numbers else [_object(builder, one) for one in value]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        if numbers:
            builder.PrependFloat32(place)
        else:
            builder.PrependUOffsetTRelative(place)
    end: int = builder.EndVector()
    return end
