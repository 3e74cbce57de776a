"""Numbers as a server says them, before any of them enters a gate. Pure.

JSON knows no NaN, but Python's reader takes it, and reads 1e999 as infinity. A comparison with NaN is false
and a maximum may pass it over, so what is not a number at all would count as a good one.
"""

import math
from collections.abc import Mapping
from typing import Any

from tasks.errors import ServerBroke


def count_in(usage: Mapping[str, Any], name: str, *, where: str) -> int | None:
    """A number of tokens, None if it is not given; raises `ServerBroke` if it is not a whole number from
    0 on.
    """
    value = usage.get(name)
    if value is None or _is_whole(value):
        return value
    raise ServerBroke(
        f"The server counts {value!r} {name}",
        where=where,
        fix="The usage of an answer must hold whole numbers from 0 on.",
    )


def ids_in(value: Any, *, where: str) -> list[int]:
    """A list of token ids; raises `ServerBroke` if it is anything else."""
    if isinstance(value, list) and all(_is_whole(token) for token in value):
        return value
    raise ServerBroke(
        f"The server names the token ids {str(value)[:200]}",
        where=where,
        fix="Token ids must be a list of whole numbers from 0 on.",
    )


def finite(value: Any) -> float | None:
    """The number as it is, or None if nothing can be calculated with the value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 0
