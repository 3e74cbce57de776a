"""What quantizing gives, and what compiling gives, as far as both sides of each were timed. Pure.

Both are ratios over cycles in which the two sides were asked, with the interval of any ratio. They decide
nothing, so they share no error with what does.
"""

from collections.abc import Iterator
from itertools import groupby

from tasks.judging.endpoint import Side
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import Gain, GainOf, RoundResult, SpeedResult
from tasks.judging.statistics.paired_rounds import pairs_of
from tasks.judging.statistics.ratio_bounds import ratio_interval

LEAST_CYCLES = 3
QUANTIZATION_FLAG = "--quantization"

Blocks = list[list[RoundResult]]


def gains_of(speed: SpeedResult, protocol: JudgingProtocol) -> tuple[Gain, ...]:
    """Return what quantizing gives vLLM, and what compiling gives over vLLM on the same weights.

    Each is missing unless both of its sides were timed.
    """
    return tuple(_Gains(speed, protocol).all())


class _Gains:
    def __init__(self, speed: SpeedResult, protocol: JudgingProtocol) -> None:
        self._speed = speed
        self._protocol = protocol
        self._timed = {point.reference.side: point for point in speed.deciding}

    def all(self) -> Iterator[Gain]:
        references = [one for one in self._protocol.references if one.name in self._timed]
        quantized = next((one for one in references if _is_quantized(one)), None)
        plain = self._unquantized(references, quantized) if quantized else None
        if quantized and plain:
            yield from self._gain("quantizing", quantized.name, plain.name)
        same = next((one for one in references if "same-weights" in one.roles), None)
        if same:
            yield from self._gain("compiling", self._protocol.engine.name, same.name)

    def _unquantized(self, references: list[Side], quantized: Side) -> Side | None:
        """Return the unquantized reference that differs from a quantized one in nothing else, if possible."""
        plain = [one for one in references if not _is_quantized(one)]
        alike = [one for one in plain if ("recommended" in one.roles) == ("recommended" in quantized.roles)]
        return next(iter((*alike, *plain)), None)

    def _gain(self, of: GainOf, side: str, than: str) -> Iterator[Gain]:
        pairs = list(zip(self._blocks(side), self._blocks(than), strict=False))
        if len(pairs) < LEAST_CYCLES:
            return
        blocks = [block for pair in pairs for block in pair]
        rounds = [
            one.model_copy(update={"block": place}) for place, block in enumerate(blocks) for one in block
        ]
        plan = self._protocol.speed
        paired = pairs_of(rounds, plan.gate.metric, engine=side, start_spread=plan.start_spread)
        found = ratio_interval(paired, confidence=plan.gate.confidence)
        yield Gain(of=of, side=side, than=than, ratio=found)

    def _blocks(self, side: str) -> Blocks:
        """Return the blocks of a side at the operating point, in the order of the cycles from the first."""
        if side == self._protocol.engine.name:
            point = max(self._timed.values(), key=lambda one: len(one.rounds))
        else:
            point = self._timed[side]
        blocks = [list(block) for _, block in groupby(point.rounds, key=lambda one: one.block)]
        return [block for block in blocks if block[0].side == side]


def _is_quantized(side: Side) -> bool:
    return "own-quantization" in side.roles or QUANTIZATION_FLAG in side.serve.argv
