"""Noise of timed rounds, as hosts and servers make it: what log seconds of rounds add to their mean. Pure.

Noise of the sides belongs to them, and is part of the true ratio. Noise of the host depends on the time at
which a round is made, whichever side is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

USUAL = 0.05
"""Standard deviation of log seconds of a round, unless a scenario says otherwise."""
ENGINE, REFERENCE = 0, 1
STALLED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Shape:
    """How much noise is drawn: simulated runs, cycles of each, rounds of a block, engine and references."""

    runs: int
    pairs: int
    rounds: int = 1
    sides: int = 2

    @property
    def of_sides(self) -> tuple[int, int, int, int]:
        """The axes of the noise of sides: runs, pairs, sides, rounds."""
        return (self.runs, self.pairs, self.sides, self.rounds)

    @property
    def of_host(self) -> tuple[int, int]:
        """The axes of the noise of the host: runs, blocks in order of time."""
        return (self.runs, self.sides * self.pairs)


@dataclass(frozen=True, slots=True)
class Noise:
    """Log seconds of rounds.

    Attributes:
        sides: (runs, pairs, sides, rounds), of the rounds of the engine and of each reference.
        host: (runs, sides * pairs), of blocks in order of time; None if there is none.
    """

    sides: "NDArray[Any]"
    host: "NDArray[Any] | None" = None


Draw = Callable[["Generator", Shape], Noise]


def normal(engine: float = USUAL, reference: float = USUAL) -> Draw:
    """Return independent normal noise of these standard deviations."""

    def draw(source: "Generator", shape: Shape) -> Noise:
        import numpy as np

        deviations = np.array([engine, *[reference] * (shape.sides - 1)])
        return Noise(source.normal(0, 1, shape.of_sides) * deviations[:, None])

    return draw


def heavy_tails(source: "Generator", shape: Shape) -> Noise:
    """Draw from Student's t with three degrees of freedom."""
    return Noise(USUAL / 3**0.5 * source.standard_t(3, shape.of_sides))


def skewed(side: int, sign: int) -> Draw:
    """Return lognormal noise of one side: with sign 1 some of its rounds are slow, with -1 some are fast."""

    def draw(source: "Generator", shape: Shape) -> Noise:
        import numpy as np

        sides = source.normal(0, USUAL, shape.of_sides)
        drawn = source.lognormal(0, 1, sides[:, :, side].shape)
        sides[:, :, side] = sign * USUAL * (drawn - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))
        return Noise(sides)

    return draw


def lasting(side: int, correlation: float) -> Draw:
    """Return autocorrelated noise of one side: of neighbouring pairs by `correlation`."""

    def draw(source: "Generator", shape: Shape) -> Noise:
        sides = source.normal(0, USUAL, shape.of_sides)
        for pair in range(1, shape.pairs):
            new = (1 - correlation**2) ** 0.5 * sides[:, pair, side]
            sides[:, pair, side] = correlation * sides[:, pair - 1, side] + new
        return Noise(sides)

    return draw


def stalls(side: int, times: float) -> Draw:
    """Return rounds of one side that take `times` as long now and then."""

    def draw(source: "Generator", shape: Shape) -> Noise:
        import numpy as np

        sides = source.normal(0, USUAL, shape.of_sides)
        stalled = source.random(sides[:, :, side].shape) < STALLED_SHARE
        sides[:, :, side] += np.log(times) * stalled
        return Noise(sides)

    return draw


def drift(per_block: float) -> Draw:
    """Return a host that becomes slower and slower."""

    def draw(source: "Generator", shape: Shape) -> Noise:
        import numpy as np

        noise = normal()(source, shape)
        return Noise(
            noise.sides, np.broadcast_to(per_block * np.arange(float(shape.of_host[1])), shape.of_host)
        )

    return draw


def wandering(source: "Generator", shape: Shape) -> Noise:
    """Draw a host whose speed is a random walk."""
    return Noise(normal()(source, shape).sides, source.normal(0, 0.02, shape.of_host).cumsum(-1))


def periodic(blocks: int, size: float = 0.1) -> Draw:
    """Return a host that is slow for half of every so many blocks."""

    def draw(source: "Generator", shape: Shape) -> Noise:
        import numpy as np

        noise = normal()(source, shape)
        begins = source.integers(0, blocks, (shape.runs, 1))
        slow = (np.arange(shape.of_host[1]) + begins) % blocks < blocks // 2
        return Noise(noise.sides, size * np.where(slow, 1.0, -1.0))

    return draw


def ties(source: "Generator", shape: Shape) -> Noise:
    """Draw rounds that a coarse clock rounds to one of a few values."""
    return Noise(USUAL * source.normal(0, 1, shape.of_sides).round())


def starts(start: float, of_round: float = USUAL) -> Draw:
    """Return blocks whose start decides something for all of their rounds."""

    def draw(source: "Generator", shape: Shape) -> Noise:
        sides = source.normal(0, of_round, shape.of_sides)
        return Noise(sides + source.normal(0, start, (*shape.of_sides[:3], 1)))

    return draw
