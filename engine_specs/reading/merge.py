"""Merging a variant over the defaults, and finding where in the file each merged value was written.

Mappings merge key by key; anything else (lists included) is replaced as a whole; null removes a default.
"""

from collections.abc import Mapping
from typing import Any

from engine_specs.reading.yaml_tree import Loc

Data = Mapping[str, Any]


def merged(defaults: Data, overrides: Data) -> dict[str, Any]:
    """Return `overrides` over `defaults`; neither is changed."""
    result = {key: value for key, value in defaults.items() if key not in overrides}
    for key, value in overrides.items():
        if value is None:
            continue
        base = defaults.get(key)
        if isinstance(value, Mapping):
            result[key] = merged(base if isinstance(base, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def origin(loc: Loc, index: int, defaults: Data, overrides: Data) -> Loc:
    """Return where in the spec the value at `loc` of merged variant `index` was written.

    The variant's own text wins. What is missing from both belongs to the deepest mapping that exists; if two
    are equally deep, to the variant's.
    """
    own, inherited = _depth(overrides, loc), _depth(defaults, loc)
    return ("defaults", *loc) if inherited > own else ("variants", index, *loc)


def _depth(data: Any, loc: Loc) -> int:
    for depth, part in enumerate(loc):
        if not isinstance(data, Mapping) or part not in data:
            return depth
        data = data[part]
    return len(loc)
