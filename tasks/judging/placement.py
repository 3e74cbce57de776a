"""Where and when the sides of a measurement are up.

A measurement is a sequence of phases. Each one asks for the sides that it needs, and keeps what they
answered: nothing is asked of a side outside a phase that has it up. So how many sides are up at a time is
decided by the placement, not by what is measured.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from tasks.judging.endpoint import Endpoint, Side


@dataclass(frozen=True, slots=True)
class Turn:
    """One timed round that is due.

    Attributes:
        side: who is asked.
        index: its place among the rounds of one comparison.
    """

    side: Side
    index: int


class Placement(Protocol):
    """Brings sides up for as long as a phase needs them."""

    def serving(self, sides: Sequence[Side]) -> AbstractContextManager[Sequence[Endpoint]]:
        """Have these sides up, all at once, for the time of the context; endpoints in the order of the sides.

        Raises:
            tasks.errors.TaskError: a side did not come up, or ended while it was needed.
        """

    def blocks(self, turns: Sequence[Turn]) -> Sequence[Sequence[Turn]]:
        """Cut rounds into blocks: the sides of one block are up together until its last round.

        Every turn is in exactly one block; `turns` come in the order that cancels drift best.
        """


class Together:
    """All sides are up at once, from the first phase to the last: no phase waits, and one block is all.

    Args:
        endpoints: running servers of all sides, which outlive the measurement.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = {endpoint.side.name: endpoint for endpoint in endpoints}

    @contextmanager
    def serving(self, sides: Sequence[Side]) -> Iterator[Sequence[Endpoint]]:
        """The endpoints of these sides."""
        yield [self._endpoints[side.name] for side in sides]

    def blocks(self, turns: Sequence[Turn]) -> Sequence[Sequence[Turn]]:
        """One block."""
        return (turns,)
