"""The family `depth`: how often an engine passes that is wrong late in answers or after long contexts.

Texts are drawn as the plans of shipped specs ask for them. A sound engine has some regret in some texts, the
same at every place; a damaged one has that, and more where the scenario says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from engine_specs.spec import AccuracyGate
from tasks.judging.gates import Tested, tested_part, worst_of
from tasks.judging.protocol import AccuracyPlan, WindowGroup
from tasks.judging.selftest.rates import Rate, Row
from tasks.judging.statistics import Span, Unit, part_interval, spans_of

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

MARGIN = 0.02
# Enough for quantiles of simulated judgements; a real one draws ten times as often.
DRAWS = 500
GARBAGE_NATS = 5.0
FAR = 10**9


@dataclass(frozen=True, slots=True)
class Regret:
    """What a sound engine's regret is like.

    Attributes:
        level: its mean, relative to the margin.
        share: of texts that have any.
        sigma: spread of the logarithm of a text's mean.
    """

    level: float = 0.5
    share: float = 0.2
    sigma: float = 1.0

    def draw(self, source: "Generator", texts: int) -> "NDArray[Any]":
        """Return the mean regret of each text."""
        means = source.lognormal(-(self.sigma**2) / 2, self.sigma, texts) / self.share
        drawn: NDArray[Any] = self.level * MARGIN * means * (source.random(texts) < self.share)
        return drawn


@dataclass(frozen=True, slots=True)
class Damage:
    """Where a damaged engine is wrong, and by how much.

    Attributes:
        after: tokens of an answer that are right.
        beyond: tokens of context and answer up to which all is right.
        prompts_of: shortest prompt whose answers are wrong.
        nats: mean regret of a wrong token.
        share: of texts that are harmed.
    """

    after: int = 0
    beyond: int = 0
    prompts_of: int = 0
    nats: float = GARBAGE_NATS
    share: float = 1.0

    def tokens(self, span: Span, contexts: "NDArray[Any]", answers: "NDArray[Any]") -> "NDArray[Any]":
        """Return how many wrong tokens of a span each text has."""
        import numpy as np

        first = np.where(contexts < self.prompts_of, FAR, np.maximum(self.after, self.beyond - contexts))
        return tokens_in(span, contexts, answers, first)


def tokens_in(span: Span, contexts: Any, answers: Any, first: Any = 0) -> "NDArray[Any]":
    """Return how many tokens of a span each text has, from its `first` token on."""
    import numpy as np

    shift = contexts if span.by == "context" else 0
    begin = np.maximum(np.maximum(span.first - shift, 0), first)
    found: NDArray[Any] = np.maximum(np.minimum(span.end - shift, answers) - begin, 0)
    return found


def _plan(
    limit: int, answer: int, samples: int, groups: Sequence[tuple[Any, int, int, int, int]]
) -> AccuracyPlan:
    gate = AccuracyGate(path="texts.jsonl", samples=samples, max_regret_nats_per_token=MARGIN)
    windows = tuple(
        WindowGroup(
            name=name,
            texts=texts,
            min_context_tokens=least,
            max_context_tokens=most,
            continuation_tokens=tokens,
        )
        for name, texts, least, most, tokens in groups
    )
    return AccuracyPlan(
        gate=gate,
        text_sha256="",
        windows=windows,
        context_limit=limit,
        answer_tokens=answer,
        length_texts=1,
        length_max_tokens=2,
        round_trip_tokens=1,
        in_flight=(1,),
    )


DEMO = _plan(
    256,
    32,
    630,
    [("answers", 502, 16, 96, 32), ("long", 64, 97, 192, 32), ("to-the-end", 64, 192, 192, 63)],
)
LLAMA = _plan(
    8192,
    256,
    4000,
    [
        ("answers", 400, 16, 1024, 256),
        ("starts", 3472, 16, 1024, 64),
        ("long", 64, 1025, 4096, 64),
        ("to-the-end", 64, 4096, 4096, 4095),
    ],
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of damage, and what the engine's regret is like otherwise.

    Attributes:
        name: what is wrong with the damaged engine.
        plan: what is asked.
        damage: where it is wrong.
        regret: of both engines besides that.
    """

    name: str
    plan: AccuracyPlan
    damage: Damage
    regret: Regret = Regret()


HEAVY, NONE, AT_MARGIN = Regret(sigma=2.0, share=0.1), Regret(level=0.0), Regret(level=1.0)
SCENARIOS = (
    Scenario("demo: garbage after 16 of 32 tokens", DEMO, Damage(after=16)),
    Scenario("demo: garbage beyond 96 tokens", DEMO, Damage(beyond=96)),
    Scenario("demo: garbage beyond 128 tokens", DEMO, Damage(beyond=128)),
    Scenario("demo: garbage beyond 250 of 256 tokens", DEMO, Damage(beyond=250)),
    Scenario("demo: garbage for prompts of 97 tokens", DEMO, Damage(prompts_of=97)),
    Scenario("demo: stale cache beyond 128 (0.3 nats)", DEMO, Damage(beyond=128, nats=0.3)),
    Scenario("demo: every third long text is wrong", DEMO, Damage(beyond=192, share=1 / 3)),
    Scenario("demo: 10 times the margin beyond 192", DEMO, Damage(beyond=192, nats=10 * MARGIN), NONE),
    Scenario("demo: the same, as garbage in a tenth", DEMO, Damage(beyond=192, nats=2.0, share=0.1), NONE),
    Scenario("demo: no regret elsewhere", DEMO, Damage(beyond=128), NONE),
    Scenario("demo: heavy tails", DEMO, Damage(beyond=128), HEAVY),
    Scenario("demo: regret of the margin everywhere", DEMO, Damage(beyond=128), AT_MARGIN),
    Scenario("Llama: garbage in the last 4 of 256 tokens", LLAMA, Damage(after=252)),
    Scenario("Llama: garbage beyond 2,048 of 8,192", LLAMA, Damage(beyond=2048)),
    Scenario("Llama: garbage beyond 8,000 of 8,192", LLAMA, Damage(beyond=8000)),
    Scenario("Llama: garbage for prompts of 4,000", LLAMA, Damage(prompts_of=4000)),
    Scenario("Llama: heavy tails", LLAMA, Damage(beyond=4096, nats=0.3), HEAVY),
)


def depth_rows(repetitions: int, seed: int, scenarios: Sequence[Scenario] = SCENARIOS) -> list[Row]:
    """Simulate all scenarios, each with this many repetitions."""
    return [_row(one, repetitions, seed + 10 * place) for one, place in zip(scenarios, count(), strict=False)]


def _row(scenario: Scenario, repetitions: int, seed: int) -> Row:
    damaged = simulate(scenario, scenario.damage, repetitions, seed)
    sound = simulate(scenario, None, repetitions, seed + 1)
    return Row(
        scenario=scenario.name,
        false_alarm=Rate.of(damaged.count("pass"), repetitions),
        found=Rate.of(damaged.count("fail"), repetitions),
        missed=Rate.of(sound.count("fail"), repetitions),
        inconclusive=Rate.of(sound.count("underpowered"), repetitions),
        work={"texts": float(scenario.plan.gate.samples)},
    )


def simulate(scenario: Scenario, damage: Damage | None, repetitions: int, seed: int) -> list[Tested]:
    """Return the outcomes of judging an engine so often."""
    import numpy as np

    source = np.random.default_rng(seed)
    return [_judged(scenario, damage, source) for _ in range(repetitions)]


def _judged(scenario: Scenario, damage: Damage | None, source: "Generator") -> Tested:
    spans, gate = spans_of(scenario.plan), scenario.plan.gate
    texts = _Texts(scenario, damage, source)
    outcomes: list[Tested] = []
    # The furthest part first, as damage is most often there: one that fails decides.
    for span in reversed(spans):
        outcomes.append(
            tested_part(part_interval(texts.units(span), gate, parts=len(spans), draws=DRAWS), gate)
        )
        if outcomes[-1] == "fail":
            break
    return worst_of(outcomes)


class _Texts:
    """The texts of one simulated measurement, as arrays with one value per text."""

    def __init__(self, scenario: Scenario, damage: Damage | None, source: "Generator") -> None:
        import numpy as np

        groups = scenario.plan.windows
        contexts = [
            source.integers(one.min_context_tokens, one.max_context_tokens + 1, one.texts) for one in groups
        ]
        self._contexts = np.concatenate(contexts)
        self._answers = np.repeat([one.continuation_tokens for one in groups], [one.texts for one in groups])
        count = len(self._contexts)
        self._regret = scenario.regret.draw(source, count)
        self._damage = damage or Damage(nats=0.0)
        harmed = source.random(count) < self._damage.share
        self._wrong = source.exponential(self._damage.nats, count) * harmed

    def units(self, span: Span) -> list[Unit]:
        """Return the sum of regrets in a span, and its tokens, of every text that has any there."""
        tokens = tokens_in(span, self._contexts, self._answers)
        wrong = self._damage.tokens(span, self._contexts, self._answers)
        sums = self._regret * tokens + self._wrong * wrong
        there = tokens > 0
        return list(zip(sums[there].tolist(), tokens[there].astype(float).tolist(), strict=True))
