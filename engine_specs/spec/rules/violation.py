"""What rules between fields read and yield: data by location, and what is wrong at one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine_specs.reading import Loc, dotted


class Unreadable:
    """What replaces a value in the data that was already refused."""


UNREADABLE: Final = Unreadable()


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: where, what was found, and what would be accepted."""

    loc: Loc
    found: str
    accepted: str

    def __str__(self) -> str:
        return (
            f"{dotted(self.loc)}: found {self.found}; {self.accepted}"
            if self.found
            else f"{dotted(self.loc)}: {self.accepted}"
        )


@dataclass(frozen=True, slots=True)
class View:
    """Data read by location."""

    data: Any

    def get(self, *loc: str | int) -> Any:
        """Return the value at `loc`; None if it is missing or unreadable."""
        value = self.data
        for part in loc:
            if isinstance(value, tuple) and isinstance(part, int) and part < len(value):
                value = value[part]
                continue
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = value[part]
        return None if value is UNREADABLE else value

    def lacks(self, *loc: str | int) -> bool:
        """Whether nothing was written at `loc`; an unreadable value counts as written."""
        holder = View(self.data).get(*loc[:-1])
        return isinstance(holder, Mapping) and holder.get(loc[-1]) is None
