"""Values of requests, each checked by its type and range; null is the same as absent."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.workers.completions_server.protocol.errors import BadRequest

Body = Mapping[str, Any]
# Only behind such an escape can half a surrogate pair hide.
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(content: bytes) -> Any:
    """Return the JSON value of a body, all of whose texts can be encoded.

    Raises:
        BadRequest: it is not JSON in UTF-8, or a text has half a surrogate pair, which is no character.
    """
    try:
        text = content.decode("utf-8-sig")
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON in UTF-8: {error}") from None
    if SURROGATE_ESCAPE.search(text):
        members = value.items() if isinstance(value, dict) else [(None, value)]
        for name, member in members:
            if any(SURROGATE.search(found) for found in _texts([name, member])):
                shown = "the request" if name is None else ascii(name)
                raise BadRequest(f"{shown} has half a surrogate pair, which is no character", _param(name))
    return value


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts inside a JSON value, names as well."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case list() as items:
                waiting += items
            case dict() as members:
                waiting += [*members, *members.values()]


def _param(name: str | None) -> str | None:
    return None if name is None or SURROGATE.search(name) else name


def flag(body: Body, name: str, default: bool = False) -> bool:
    """Read true or false."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise refused(name, value, "true or false")
    return value


def whole(body: Body, name: str, default: int | None, least: int, most: int | None = None) -> int | None:
    """Read a whole number from `least` to `most`."""
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not int or value < least or (most is not None and value > most):
        said = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise refused(name, value, f"a whole number {said}")
    return value


def number(body: Body, name: str, default: float, least: float, most: float) -> float:
    """Read a number from `least` to `most`; infinity as a limit means any finite number."""
    value = body.get(name)
    if value is None:
        return default
    if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
        raise refused(name, value, f"a number from {least:g} to {most:g}")
    return float(value)


def ids(body: Body, name: str, vocab_size: int) -> tuple[int, ...]:
    """Read a list of token ids of the vocabulary."""
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(type(one) is int and 0 <= one < vocab_size for one in value):
        raise refused(name, value, f"a list of token ids from 0 to {vocab_size - 1}")
    return tuple(value)


def mapping(body: Body, name: str) -> dict[str, Any]:
    """Read an object."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refused(name, value, "an object")
    return value


def refused(name: str, value: Any, wanted: str) -> BadRequest:
    """The refusal of a value, by what would be valid."""
    return BadRequest(f"{name} = {str(value)[:100]!r}: it must be {wanted}", name)
