"""Frozen dataclasses to JSON and back: the types are the schema.

A field is a number, a text, a truth value, one of some texts (`Literal`), another dataclass, a mapping or a tuple of
these (of any length, or of a fixed one), or null; one of these or a text; or anything (`Any`). Reading is strict:
nothing is converted but a whole number where any number will do. Fields that have a default may be missing; what no
field is named after is passed over, so that a file may say more than this maskrt reads.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

_SHOWN = 60
"""Characters of a value that a message shows."""


class SchemaError(ValueError):
    """A value is not as its type says; the message is a clause that names the place: `models[2].mask is 7, which …`."""


def to_json(value: Any) -> Any:
    """Turn a dataclass and what it holds into what `json.dumps` takes."""
    if dataclasses.is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(entry) for entry in value]
    return value


def from_json(kind: type[T], content: Any) -> T:
    """Make the dataclass `kind` from what `json.loads` gave.

    Raises:
        SchemaError: the content is not as the type says.
    """
    result: T = _read(kind, content, "")
    return result


def _read(kind: Any, value: Any, place: str) -> Any:
    """Read `value` as a `kind`; `place` is where it stands, for messages."""
    if kind is Any:
        return value
    origin = get_origin(kind)
    if origin is UnionType:
        return _read_union(get_args(kind), value, place)
    if origin is Literal:
        return value if isinstance(value, str) and value in get_args(kind) else _refuse(value, place)
    if origin is tuple:
        return _read_tuple(get_args(kind), value, place)
    if not isinstance(value, dict) and (origin is Mapping or dataclasses.is_dataclass(kind)):
        _refuse(value, place)
    if origin is Mapping:
        return {key: _read(get_args(kind)[1], entry, f"{place}.{key}") for key, entry in value.items()}
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, place)
    if kind is float:  # JSON knows no NaN and no infinity, but Python reads them
        return float(value) if type(value) in (int, float) and _is_finite(value) else _refuse(value, place)
    return value if type(value) is kind else _refuse(value, place)


def _read_union(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and NoneType in kinds:
        return None
    if isinstance(value, str) and str in kinds:
        return value
    others = [kind for kind in kinds if kind not in (NoneType, str)] or [str]
    return _read(others[0], value, place)


def _read_tuple(kinds: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    entries = value if isinstance(value, list) else _refuse(value, place)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(entries)
    elif len(entries) != len(kinds):
        _refuse(value, place)
    places = [f"{place}[{i}]" for i in range(len(entries))]
    return tuple(map(_read, kinds, entries, places))


def _read_dataclass(kind: Any, value: dict[str, Any], place: str) -> Any:
    fields = {}
    for name, (of_field, required) in _fields(kind).items():
        if name in value:
            fields[name] = _read(of_field, value[name], f"{place}.{name}")
        elif required:
            raise SchemaError(f"{place.lstrip('.') or 'the file'} has no {name!r}")
    return kind(**fields)


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Find the type of each field, and whether it has to be there."""
    types = get_type_hints(kind)
    return {
        field.name: (
            types[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
    }


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _refuse(value: Any, place: str) -> Any:
    text = repr(value)
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
    raise SchemaError(f"{place.lstrip('.')} is {shown}, which was not expected")
