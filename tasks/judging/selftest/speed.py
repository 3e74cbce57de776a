"""The family `speed`: how often an engine is called faster that is not, and how often one is found that is.

The true ratio is the smaller one of those by round and by time (`tasks.judging.statistics.paired_rounds`),
and of those to all references.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from engine_specs.spec import SpeedGate
from tasks.judging.measure import order_of
from tasks.judging.protocol import SpeedPlan
from tasks.judging.selftest import noise as of
from tasks.judging.selftest.noise import ENGINE, REFERENCE, Draw, Noise, Shape
from tasks.judging.selftest.rates import Rate, Row
from tasks.judging.statistics import ENDED, Pairs, attempt_confidence, take_look

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

BAR, CONFIDENCE = 1.1, 0.95
EXCESS, LARGE_EXCESS = 0.05, 0.3
ORDERS = 200
AMPLE, TIGHT = 768, 24
UNDECIDED, RESOLVED = ENDED.index("undecided"), ENDED.index("resolved")
FASTER, NOT_FASTER, INCONCLUSIVE = "faster", "not-faster", "inconclusive"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of noise, and how much may be measured.

    Attributes:
        name: what is the matter with the rounds.
        draw: makes their noise.
        affordable: pairs that the budget allows.
        rounds: rounds of a block.
        first_pairs: pairs before the first look.
        variants: variants of the spec, of which none may be called faster in error.
        attempts: how often it is measured, each time with twice the budget, until it is conclusive.
        references: references that the engine has to beat.
        slower: how much slower all of them are than the first, as a share of its speed.
        start_spread: what the one start of each side adds to the log ratio, drawn anew for every run.
    """

    name: str
    draw: Draw
    affordable: int = AMPLE
    rounds: int = 1
    first_pairs: int = 8
    variants: int = 1
    attempts: int = 1
    references: int = 1
    slower: float = 0.0
    start_spread: float = 0.0

    def plan(self) -> SpeedPlan:
        """Return the plan under which it is judged."""
        gate = SpeedGate(
            metric="goodput_per_device", min_speedup=BAR, confidence=CONFIDENCE, budget_minutes=1
        )
        return SpeedPlan(
            gate=gate,
            variants=self.variants,
            first_pairs=self.first_pairs,
            start_spread=self.start_spread,
        )


SCENARIOS = (
    Scenario("normal", of.normal()),
    Scenario("normal, quiet", of.normal(0.01, 0.01)),
    Scenario("normal, loud", of.normal(0.1, 0.1)),
    Scenario("normal, engine much louder", of.normal(0.2, 0.01)),
    Scenario("no noise at all", of.normal(0.0, 0.0)),
    Scenario("ties of a coarse clock", of.ties),
    Scenario("heavy tails (t, 3 df)", of.heavy_tails),
    Scenario("skewed: slow rounds of the engine", of.skewed(ENGINE, 1)),
    Scenario("skewed: fast rounds of the engine", of.skewed(ENGINE, -1)),
    Scenario("skewed: slow rounds of vLLM", of.skewed(REFERENCE, 1)),
    Scenario("skewed: fast rounds of vLLM", of.skewed(REFERENCE, -1)),
    Scenario("engine's noise lasts (AR .5)", of.lasting(ENGINE, 0.5)),
    Scenario("engine's noise lasts (AR .8)", of.lasting(ENGINE, 0.8)),
    Scenario("engine's noise lasts (AR .9)", of.lasting(ENGINE, 0.9)),
    Scenario("vLLM's noise lasts (AR .8)", of.lasting(REFERENCE, 0.8)),
    Scenario("host drifts", of.drift(0.003)),
    Scenario("host wanders", of.wandering),
    Scenario("host: period of 2 rounds", of.periodic(2)),
    Scenario("host: period of 4 rounds", of.periodic(4)),
    Scenario("host: period of 8 rounds", of.periodic(8)),
    Scenario("5 % of the engine's rounds take 1.5 x", of.stalls(ENGINE, 1.5)),
    Scenario("5 % of the engine's rounds take 2 x", of.stalls(ENGINE, 2)),
    Scenario("5 % of the engine's rounds take 3 x", of.stalls(ENGINE, 3)),
    Scenario("5 % of vLLM's rounds take 2 x", of.stalls(REFERENCE, 2)),
    Scenario("normal, budget of 24 pairs", of.normal(), TIGHT),
    Scenario("engine's noise lasts (AR .8), 24 pairs", of.lasting(ENGINE, 0.8), TIGHT),
    Scenario("engine stalls 2 x, 24 pairs", of.stalls(ENGINE, 2), TIGHT),
    Scenario("one start per side, which decides 4 %", of.normal(), start_spread=0.04),
    Scenario("one start per side, 4 %, loud", of.normal(0.1, 0.1), start_spread=0.04),
    Scenario("in turn: starts differ by 3 %", of.starts(0.03), 64, rounds=4, first_pairs=4),
    Scenario("in turn: starts differ by 3 %, 3 pairs", of.starts(0.03), 3, rounds=4, first_pairs=3),
    Scenario("in turn: host drifts, 6 pairs", of.drift(0.02), 6, rounds=4, first_pairs=4),
    Scenario("loud, 24 pairs, until conclusive (5 times)", of.normal(0.1, 0.1), TIGHT, attempts=5),
    Scenario("AR .8, 24 pairs, until conclusive (5 times)", of.lasting(ENGINE, 0.8), TIGHT, attempts=5),
    Scenario("normal, any of 8 variants", of.normal(), 256, variants=8),
    Scenario("2 references, equal", of.normal(), references=2),
    Scenario("4 references, equal", of.normal(), references=4),
    Scenario("2 references, one 5 % slower", of.normal(), references=2, slower=0.05),
    Scenario("4 references, three 5 % slower", of.normal(), references=4, slower=0.05),
    Scenario("4 references, equal, loud", of.normal(0.1, 0.1), references=4),
    Scenario("4 references, engine's noise lasts (AR .8)", of.lasting(ENGINE, 0.8), references=4),
    Scenario("4 references, host drifts", of.drift(0.003), references=4),
    Scenario("4 references, host: period of 4 rounds", of.periodic(4), references=4),
    Scenario("4 references, one start per side, 4 %", of.normal(), references=4, start_spread=0.04),
    Scenario("4 references, budget of 24 cycles", of.normal(), TIGHT, references=4),
)


@dataclass(slots=True)
class Judged:
    """The outcomes of simulated runs, and the pairs that they made."""

    outcomes: "NDArray[Any]"
    pairs: "NDArray[Any]"

    def share(self, outcome: str) -> Rate:
        """Return how often this was the outcome."""
        return Rate.of(int((self.outcomes == outcome).sum()), len(self.outcomes))


def speed_rows(repetitions: int, seed: int, scenarios: Sequence[Scenario] = SCENARIOS) -> list[Row]:
    """Simulate all scenarios, each with this many repetitions."""
    return [_row(one, repetitions, seed + 10 * place) for place, one in enumerate(scenarios)]


def _row(scenario: Scenario, repetitions: int, seed: int) -> Row:
    at_bar = simulate(scenario, 0.0, repetitions, seed)
    above = simulate(scenario, EXCESS, repetitions, seed + 1)
    far = simulate(scenario, LARGE_EXCESS, repetitions, seed + 2)
    return Row(
        scenario=scenario.name,
        false_alarm=at_bar.share(FASTER),
        found=above.share(FASTER),
        missed=above.share(NOT_FASTER),
        inconclusive=above.share(INCONCLUSIVE),
        work={"at the bar": at_bar.pairs.mean(), "bar + 30 %": far.pairs.mean()},
    )


def simulate(scenario: Scenario, excess: float, repetitions: int, seed: int) -> Judged:
    """Judge engines whose true ratio exceeds the bar by `excess`; of several variants, return the best."""
    import numpy as np

    source = np.random.default_rng(seed)
    runs = repetitions * scenario.variants
    judged = Judged(np.full(runs, INCONCLUSIVE, dtype="<U12"), np.zeros(runs, dtype=int))
    for attempt in range(1, scenario.attempts + 1):
        again = np.flatnonzero(judged.outcomes == INCONCLUSIVE)
        if len(again):
            budget = replace(scenario, affordable=scenario.affordable * 2 ** (attempt - 1))
            made = _attempt(budget, excess, len(again), source, attempt)
            judged.outcomes[again] = made.outcomes
            judged.pairs[again] += made.pairs
    return _best(judged, scenario.variants)


def _best(judged: Judged, variants: int) -> Judged:
    """Return one outcome per spec: `faster` if any of its variants is called so, otherwise the first."""
    import numpy as np

    by_spec = judged.outcomes.reshape(-1, variants)
    best = np.where((by_spec == FASTER).any(-1), FASTER, by_spec[:, 0])
    return Judged(best, judged.pairs.reshape(-1, variants).mean(-1))


@dataclass(slots=True)
class _Attempt:
    """Runs that are measured side by side, look by look; arrays of comparisons are (runs, references).

    Attributes:
        pairs: of each reference.
        outcomes: by run.
        made: cycles, by run.
        due: cycles before the next look at a comparison.
        number: of that look.
        open: whether a comparison goes on.
    """

    pairs: Sequence[Pairs]
    plan: SpeedPlan
    confidence: float
    affordable: int
    outcomes: "NDArray[Any]"
    made: "NDArray[Any]"
    due: "NDArray[Any]"
    number: "NDArray[Any]"
    open: "NDArray[Any]"
    going: "NDArray[Any]" = field(init=False)

    def __post_init__(self) -> None:
        import numpy as np

        self.going = np.arange(len(self.made))

    def step(self) -> None:
        """Go on to the next look of each run, and take it; comparisons with equally many pairs together."""
        import numpy as np

        never = np.iinfo(self.due.dtype).max
        self.made[self.going] = np.where(self.open, self.due, never)[self.going].min(-1)
        for place, pairs in enumerate(self.pairs):
            runs = self.going[(self.open & (self.due == self.made[:, None]))[self.going, place]]
            for made, number in np.unique([self.made[runs], self.number[runs, place]], axis=1).T:
                same = runs[(self.made[runs] == made) & (self.number[runs, place] == number)]
                self._look(pairs, place, same, int(made), int(number))
        lost = self.outcomes[self.going] != FASTER
        self.going = self.going[~lost & self.open[self.going].any(-1)]

    def _look(self, pairs: Pairs, place: int, runs: "NDArray[Any]", made: int, number: int) -> None:
        import numpy as np

        own, bar = _of_runs(pairs, runs).first(made), np.log(self.plan.gate.min_speedup)
        found = take_look(
            own,
            self.plan,
            confidence=self.confidence,
            number=number,
            affordable=self.affordable,
            comparisons=len(self.pairs),
        )
        resolved = (found.ended == RESOLVED) & (not self.plan.start_spread)
        slower = (found.upper < bar) | resolved
        outcome = np.select([found.lower >= bar, slower], [FASTER, NOT_FASTER], INCONCLUSIVE)
        done = found.ended != UNDECIDED
        # One comparison that is not won decides a run; the first that is lost counts most.
        lost = done & (outcome != FASTER) & (self.outcomes[runs] != NOT_FASTER)
        self.outcomes[runs[lost]] = outcome[lost]
        self.open[runs, place] = ~done
        self.due[runs, place] = found.pairs
        self.number[runs, place] += 1


def _attempt(scenario: Scenario, excess: float, runs: int, source: "Generator", attempt: int) -> Judged:
    import numpy as np

    plan, comparisons = scenario.plan(), (runs, scenario.references)
    made = _Attempt(
        pairs=_pairs(scenario, excess, runs, source),
        plan=plan,
        confidence=attempt_confidence(plan.confidence, attempt),
        affordable=scenario.affordable,
        outcomes=np.full(runs, FASTER, dtype="<U12"),
        made=np.zeros(runs, dtype=int),
        due=np.full(comparisons, scenario.first_pairs),
        number=np.ones(comparisons, dtype=int),
        open=np.ones(comparisons, dtype=bool),
    )
    while len(made.going):
        made.step()
    return Judged(made.outcomes, made.made)


def _of_runs(pairs: Pairs, runs: "NDArray[Any]") -> Pairs:
    rates, tokens, seconds = (part[runs] for part in (pairs.log_rates, pairs.tokens, pairs.seconds))
    return Pairs(rates, tokens, seconds, pairs.rounds, pairs.start_spread)


def _pairs(scenario: Scenario, excess: float, runs: int, source: "Generator") -> list[Pairs]:
    """Return the pairs with each reference of runs whose true ratio exceeds the bar by `excess`."""
    import numpy as np

    shape = Shape(runs, scenario.affordable, scenario.rounds, 1 + scenario.references)
    noise = scenario.draw(source, shape)
    own = noise.sides
    own[:, :, REFERENCE + 1 :] += np.log1p(scenario.slower)
    engine, reference = own[:, :, ENGINE], own[:, :, REFERENCE]
    by_round = reference.mean() - engine.mean()
    by_time = np.log(np.exp(reference).mean() / np.exp(engine).mean())
    speedup = np.log(BAR) + np.log1p(excess) - min(by_round, by_time)
    seconds = own + _host(noise, shape, source)[..., None]
    # What the start of each side adds is its own; the spread is that of two of them.
    by_start = source.normal(0, scenario.start_spread / 2**0.5, (shape.runs, 1, shape.sides, 1))
    seconds += by_start
    seconds[:, :, ENGINE] -= speedup
    spread = scenario.start_spread
    return [_pair_up(seconds[:, :, [ENGINE, one]], spread) for one in range(REFERENCE, shape.sides)]


def _pair_up(seconds: "NDArray[Any]", start_spread: float) -> Pairs:
    """Return the pairs of two sides with these log seconds, (runs, pairs, 2, rounds)."""
    import numpy as np

    rounds = seconds.shape[-1]
    return Pairs(
        log_rates=-seconds.mean(-1),
        tokens=np.full(seconds.shape[:3], float(rounds)),
        seconds=np.exp(seconds).sum(-1),
        rounds=rounds,
        start_spread=start_spread,
    )


def _host(noise: Noise, shape: Shape, source: "Generator") -> "NDArray[Any]":
    """Return the host's noise of each side's blocks, by the order in which they are made."""
    import numpy as np

    if noise.host is None:
        return np.zeros(shape.of_sides[:3])
    in_time = noise.host.reshape(shape.of_sides[:3])
    turns = _turns(shape.pairs, shape.sides)[source.integers(0, ORDERS, shape.runs)]
    sides: NDArray[Any] = np.take_along_axis(in_time, turns, -1)
    return sides


@cache
def _turns(pairs: int, sides: int) -> "NDArray[Any]":
    """Return the turn of each side in each cycle, for protocols of `ORDERS` seeds."""
    import numpy as np

    orders = [[order_of(seed, pair, sides) for pair in range(pairs)] for seed in range(ORDERS)]
    return np.argsort(np.array(orders), -1)
