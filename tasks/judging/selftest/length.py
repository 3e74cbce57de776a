"""The family `length`: how often a sound engine is rejected for its lengths, and how often a damaged one is.

A sound engine is at all of its limits at once, which is where it is rejected most often: its mean length is
at the lower bound, it ends as many fewer answers as it may, and its share of ends elsewhere after the same
tokens is the one allowed. A damaged one does to these answers what the scenario says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from engine_specs.spec import AccuracyGate
from tasks.judging.gates import Tested, judge_lengths
from tasks.judging.results import LengthSample
from tasks.judging.selftest.depth import DEMO
from tasks.judging.selftest.rates import Rate, Row

# Enough for quantiles of simulated judgements; a real one draws ten times as often.
DRAWS = 1_000
LONGEST = 64
PLAN = DEMO.model_copy(update={"length_max_tokens": LONGEST})


def _answer(engine: int, reference: int, end: str) -> LengthSample:
    return LengthSample.model_validate(
        {
            "sample_id": "0",
            "engine_tokens": engine,
            "reference_tokens": reference,
            "common_prefix_tokens": 0,
            "end": end,
        }
    )


ALIKE, EARLY = _answer(40, 40, "alike"), _answer(40, 40, "early")
GOES_ON = _answer(LONGEST, LONGEST, "alike")
SHORTER, ENDS, CONTINUES = (
    _answer(30, 40, "apart"),
    _answer(60, LONGEST, "apart"),
    _answer(LONGEST, 60, "apart"),
)
# Half of the answers are continued up to the limit by both sides, and the engine ends a tenth fewer of all.
SHARES = {GOES_ON: 0.5, ENDS: 0.02, CONTINUES: 0.12}


def at_the_limits(gate: AccuracyGate = PLAN.gate) -> dict[LengthSample, float]:
    """Return the probability of each answer of an engine that is at all limits at once."""
    rest = 1 - sum(SHARES.values())
    counted = [(one, share) for one, share in SHARES.items() if one is not GOES_ON]
    reference = rest * ALIKE.reference_tokens + sum(one.reference_tokens * share for one, share in counted)
    engine = rest * ALIKE.engine_tokens + sum(one.engine_tokens * share for one, share in counted)
    shorter = (engine - gate.min_length_ratio * reference) / (ALIKE.engine_tokens - SHORTER.engine_tokens)
    known = rest - shorter + SHARES[GOES_ON]
    early = gate.max_gross_error_share * known
    return {**SHARES, SHORTER: shorter, EARLY: early, ALIKE: rest - shorter - early}


Damage = Callable[[LengthSample], LengthSample]


def cut_at(most: int) -> Damage:
    """Return what stops every answer at so many tokens."""

    def damage(one: LengthSample) -> LengthSample:
        if one.engine_tokens <= most:
            return one
        end = "early" if one.end == "alike" else "apart"
        return _answer(most, one.reference_tokens, end)

    return damage


def never_ends(one: LengthSample) -> LengthSample:
    """Continue an answer up to the limit."""
    goes_on = one.reference_tokens == LONGEST or one.end == "apart"
    return _answer(LONGEST, one.reference_tokens, one.end if goes_on else "late")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of damage.

    Attributes:
        name: what is wrong with the damaged engine.
        damage: what it does to an answer.
        share: of answers that are harmed.
        texts: that are compared.
    """

    name: str
    damage: Damage
    share: float = 1.0
    texts: int = 400


SCENARIOS = (
    Scenario("stops at 60 of 64 tokens", cut_at(60)),
    Scenario("never ends", never_ends),
    Scenario("never ends, in one answer of ten", never_ends, share=0.1),
    Scenario("never ends, in one answer of ten, 6,000 texts", never_ends, share=0.1, texts=6_000),
)


def length_rows(repetitions: int, seed: int, scenarios: Sequence[Scenario] = SCENARIOS) -> list[Row]:
    """Simulate all scenarios, each with this many repetitions."""
    return [_row(one, repetitions, seed + 10 * place) for place, one in enumerate(scenarios)]


def _row(scenario: Scenario, repetitions: int, seed: int) -> Row:
    damaged = simulate(scenario, scenario.share, repetitions, seed)
    sound = simulate(scenario, 0.0, repetitions, seed + 1)
    return Row(
        scenario=scenario.name,
        false_alarm=Rate.of(damaged.count("pass"), repetitions),
        found=Rate.of(damaged.count("fail"), repetitions),
        missed=Rate.of(sound.count("fail"), repetitions),
        inconclusive=Rate.of(sound.count("underpowered"), repetitions),
        work={"texts": float(scenario.texts)},
    )


def simulate(scenario: Scenario, harmed: float, repetitions: int, seed: int) -> list[Tested]:
    """Return the outcomes of judging an engine so often, of whose answers this share is harmed."""
    import numpy as np

    sound = at_the_limits()
    answers = [*sound, *map(scenario.damage, sound)]
    shares = [(1 - harmed) * share for share in sound.values()] + [harmed * share for share in sound.values()]
    drawn = np.random.default_rng(seed).multinomial(scenario.texts, shares, size=repetitions)
    return [_judged(answers, counts) for counts in drawn.tolist()]


def _judged(answers: Sequence[LengthSample], counts: Sequence[int]) -> Tested:
    samples = list(chain.from_iterable([one] * count for one, count in zip(answers, counts, strict=True)))
    return judge_lengths(samples, PLAN, draws=DRAWS).outcome
