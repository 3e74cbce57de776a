"""Rounds that others disturbed are made again.

Invariants:
- Whether rounds are made again follows from what others used of the host, never from what the rounds say.
- Rounds are made again only after the host has been quiet for a while.
- If too many had to be made again, there is no result: the others were hardly made in quiet, either. Too many
  are a share of all units that were made, or as many as are needed in all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from artifacts.progress import Say
from tasks.errors import HostBusy, HostBusyAfterLook
from tasks.judging.conditions import MOST_MADE_AGAIN, HostLoad
from tasks.judging.placement import Observer


class _Observed(Protocol):
    @property
    def load(self) -> HostLoad | None: ...


class _Made(Protocol):
    """A round, or a stretch of arrivals."""

    @property
    def result(self) -> _Observed: ...


MadeT = TypeVar("MadeT", bound=_Made)


class Repeats:
    """The units of one comparison that were made again: each is some rounds that belong together.

    Args:
        observer: says what others used, and waits until the host is quiet.
        say: takes lines of progress.
    """

    def __init__(self, observer: Observer, say: Say) -> None:
        self._observer = observer
        self._say = say
        self._worst: HostLoad | None = None
        self._made = 0
        self.made_again = 0

    async def undisturbed(self, make: Callable[[], Awaitable[list[MadeT]]], *, units: int) -> list[MadeT]:
        """Make the rounds of a unit until nobody has disturbed them.

        `units` are how many are known to be needed yet, this one included: it limits how often units are made
        again.

        Raises:
            tasks.errors.HostBusy: others keep disturbing them.
        """
        while self.needed(made := await make(), units=units):
            # From a thread: meanwhile the client notices if the server closes idle connections.
            await asyncio.to_thread(self._observer.await_quiet, self._say)
        return made

    def needed(self, rounds: Sequence[_Made], *, units: int) -> bool:
        """Return whether a unit that was just made has to be made again, and count it.

        Raises:
            tasks.errors.HostBusy: more were made again than are needed in all.
        """
        loads = [one.result.load for one in rounds]
        found = [load for load in loads if load is not None and load.disturbs]
        if not found or self._observer.quiet_host == "record":
            self._made += 1
            return False
        self._worst = max([*found, *([self._worst] if self._worst else [])], key=_weight)
        self.made_again += 1
        if self.made_again > self._made + units:
            raise _disturbed(self.made_again, self._made + units, self._worst)
        self._say(f"made again: {max(found, key=_weight).text()}")
        return True

    def require_few(self, *, more: int = 0) -> None:
        """Raise `HostBusy` if too many units had to be made again, of those made and of `more` to come."""
        require_few(self.made_again, self._made + more, self._worst)


@contextmanager
def counting_looks(has_looked: Callable[[], bool]) -> Iterator[None]:
    """Raise `HostBusyAfterLook` for `HostBusy` if ratios were looked at before, as `has_looked` says."""
    try:
        yield
    except HostBusy as error:
        if not has_looked():
            raise
        raise HostBusyAfterLook(error.what, where=error.where, fix=error.fix) from error


def require_few(made_again: int, units: int, worst: HostLoad | None = None) -> None:
    """Raise `HostBusy` if more units than allowed had to be made again; `worst` is what others used then."""
    if made_again > MOST_MADE_AGAIN * units:
        raise _disturbed(made_again, units, worst)


def _disturbed(made_again: int, units: int, worst: HostLoad | None) -> HostBusy:
    return HostBusy(
        f"others disturbed rounds: {made_again} had to be made again for {units} that are needed "
        f"({MOST_MADE_AGAIN:.0%} are allowed)",
        where=worst.text() if worst else "",
        fix="measure again when nobody else computes on this host",
    )


def _weight(load: HostLoad) -> tuple[bool, float]:
    return bool(load.on_gpus), max(load.foreign, load.steal)
