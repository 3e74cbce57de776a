"""Records: frozen dataclasses that travel as JSON, written here and read back strictly.

Invariants:
- What `as_json` writes, `read_record` reads as an equal record.
- Reading refuses an unknown key, a missing key and a value of another type, and names the place.
- A field with a default is left out of the JSON as long as it has that value.
"""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

R = TypeVar("R", bound="Record")


class Record(Protocol):
    """A dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


class InvalidRecord(ValueError):
    """JSON that is not the expected record; the message names the place and what is wrong there."""


def as_json(value: object) -> Any:
    """The JSON of a record, or of a value that a record may hold: paths become texts, tuples become lists."""
    if is_dataclass(value) and not isinstance(value, type):
        shown = (field for field in fields(value) if not _at_default(field, getattr(value, field.name)))
        return {field.name: as_json(getattr(value, field.name)) for field in shown}
    if isinstance(value, Mapping):
        return {str(key): as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def read_record(kind: type[R], document: object, place: str = "") -> R:
    """Read a record from decoded JSON.

    Args:
        kind: the dataclass. Its fields may be texts, numbers, booleans, paths, literals, tuples and
            dictionaries of these, other records, unions of such types with None, and Any.
        document: what `json.loads` returned.
        place: where the document is from, to begin messages with.

    Raises:
        InvalidRecord: an unknown key, a missing key, or a value of another type.
    """
    if not isinstance(document, dict):
        raise _unexpected(place, f"a mapping for {kind.__name__}", document)
    known = {field.name: field for field in fields(kind)}
    if unknown := sorted(document.keys() - known.keys()):
        raise InvalidRecord(f"{_at(place, unknown[0])}: unknown key")
    absent = [name for name, field in known.items() if name not in document and not _has_default(field)]
    if absent:
        raise InvalidRecord(f"{_at(place, absent[0])}: missing key")
    hints = get_type_hints(kind)
    return kind(**{name: _read(hints[name], value, _at(place, name)) for name, value in document.items()})


def _read(kind: Any, value: Any, place: str) -> Any:
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, value, place)
    if origin is Literal:
        return _require(value in arguments, " or ".join(map(repr, arguments)), value, place)
    if origin is tuple:
        _require(isinstance(value, list), "a list", value, place)
        return tuple(_read(arguments[0], one, f"{place}[{index}]") for index, one in enumerate(value))
    if origin is dict:
        _require(isinstance(value, dict), "a mapping", value, place)
        return {name: _read(arguments[1], one, _at(place, name)) for name, one in value.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        return read_record(kind, value, place)
    if kind is Path:
        return Path(_require(isinstance(value, str), "a path", value, place))
    return _read_scalar(kind, value, place)


def _read_union(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    """Read a value of a union: of one type and None, or of scalars, so that no value fits two members."""
    if value is None and types.NoneType in kinds:
        return None
    (*others,) = (kind for kind in kinds if kind is not types.NoneType)
    if len(others) == 1:
        return _read(others[0], value, place)
    names = " or ".join(kind.__name__ for kind in others)
    return _require(type(value) in others, names, value, place)


def _read_scalar(kind: type, value: Any, place: str) -> Any:
    """Read a scalar: a whole number is valid for a float, but true and false are not numbers."""
    if kind is float and type(value) is int:
        return float(value)
    if kind is float and type(value) is float:
        return _require(math.isfinite(value), "a finite number", value, place)
    return _require(type(value) is kind, kind.__name__, value, place)


def _require(fits: bool, expected: str, value: Any, place: str) -> Any:
    if not fits:
        raise _unexpected(place, expected, value)
    return value


def _unexpected(place: str, expected: str, value: object) -> InvalidRecord:
    return InvalidRecord(f"{place or 'record'}: expected {expected}, found {str(value)[:80]!r}")


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _at_default(field: Field[Any], value: object) -> bool:
    if field.default is not MISSING:
        return bool(value == field.default)
    return field.default_factory is not MISSING and bool(value == field.default_factory())
