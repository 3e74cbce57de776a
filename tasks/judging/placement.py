"""Where and when the sides of a measurement run.

A measurement is a sequence of phases. Each phase brings up the sides that it needs, and keeps their answers;
a side is only asked in a phase that has it up. So the placement alone decides how many sides run at a time.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from tasks.judging.endpoint import Endpoint, Side


@dataclass(frozen=True, slots=True)
class Turn:
    """One timed round that has to be made.

    Attributes:
        side: the side that is asked.
        index: its place in the sequence of rounds of one comparison.
    """

    side: Side
    index: int


class Placement(Protocol):
    """Brings sides up for as long as a phase needs them."""

    def serving(self, sides: Sequence[Side]) -> AbstractContextManager[Sequence[Endpoint]]:
        """Keep these sides up together for the time of the context; endpoints are in the order of the sides.

        Raises:
            tasks.errors.TaskError: a side did not start, or ended while it was needed.
        """

    def blocks(self, turns: Sequence[Turn]) -> Sequence[Sequence[Turn]]:
        """Divide rounds into blocks; the sides of a block run together until its last round.

        Every turn is in exactly one block; `turns` are in the order that cancels drift best.
        """


class Together:
    """All sides run together, from the first phase to the last; all rounds are one block.

    Args:
        endpoints: running servers of all sides, which outlive the measurement.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = {endpoint.side.name: endpoint for endpoint in endpoints}

    @contextmanager
    def serving(self, sides: Sequence[Side]) -> Iterator[Sequence[Endpoint]]:
        """Yield the endpoints of these sides."""
        yield [self._endpoints[side.name] for side in sides]

    def blocks(self, turns: Sequence[Turn]) -> Sequence[Sequence[Turn]]:
        """Return all turns as one block."""
        return (turns,)
