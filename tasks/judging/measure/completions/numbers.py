"""Checks of the numbers in a server's answers, before a gate uses them. Pure.

JSON has no NaN, but Python's parser accepts it, and reads 1e999 as infinity. A comparison with NaN is false,
and a maximum may skip it, so something that is not a number at all would count as a good one.
"""

import math
from collections.abc import Mapping
from typing import Any

from tasks.errors import ServerBroke


def count_in(usage: Mapping[str, Any], name: str, *, where: str) -> int | None:
    """Return a number of tokens, None if not given; raise `ServerBroke` if it is not a whole number >= 0."""
    value = usage.get(name)
    if value is None or _is_whole(value):
        return value
    raise ServerBroke(
        f"the server reports {value!r} as {name}",
        where=where,
        fix="the usage of an answer must hold whole numbers, 0 or greater",
    )


def ids_in(value: Any, *, where: str) -> list[int]:
    """Return a list of token ids; raise `ServerBroke` if the value is anything else."""
    if isinstance(value, list) and all(_is_whole(token) for token in value):
        return value
    raise ServerBroke(
        f"the server returned the token ids {str(value)[:200]}",
        where=where,
        fix="token ids must be a list of whole numbers, 0 or greater",
    )


def finite(value: Any) -> float | None:
    """Return a value as a float, or None if it is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 0
