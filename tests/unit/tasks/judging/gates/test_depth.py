"""Regret late in answers and after long contexts: which tokens belong to which part, and what parts show."""

from collections.abc import Callable
from random import Random

import pytest

from engine_specs.spec import load_spec, resolve_variants
from tasks.comparison.questions import accuracy_plan
from tasks.judging import AccuracyPlan
from tasks.judging.gates.answers.depth import DepthOutcome, judge_depth
from tasks.judging.gates.answers.gross_errors import judge_gross_errors
from tasks.judging.gates.answers.regret import judge_regret
from tasks.judging.results import Departure, RegretSample
from tasks.judging.selftest.depth import DEMO, LLAMA
from tasks.judging.statistics import Span, spans_of, units_of

PLANS = {"demo": DEMO, "llama-3.1-8b-instruct": LLAMA}
"""By name of the shipped spec."""
Regret = Callable[[int, int], float]
"""Nats by tokens of context and place in the answer."""


def asked(plan: AccuracyPlan, regret_of: Regret, texts_of: float = 1.0) -> list[RegretSample]:
    """The texts of a plan, or a share of each group, with planted regrets."""
    source = Random(1)
    return [
        _sample(
            str(text),
            source.randint(group.min_context_tokens, group.max_context_tokens),
            group.continuation_tokens,
            regret_of,
        )
        for group in plan.windows
        for text in range(round(group.texts * texts_of))
    ]


def _sample(name: str, context: int, tokens: int, regret_of: Regret) -> RegretSample:
    regrets = [regret_of(context, index) for index in range(tokens)]
    return RegretSample(
        sample_id=name,
        in_flight=1,
        context_tokens=context,
        asked_tokens=tokens,
        engine_tokens=(1,) * tokens,
        departures=tuple(
            Departure(index=index, engine_token=1, reference_token=0, regret_nats=regret)
            for index, regret in enumerate(regrets)
            if regret
        ),
    )


def judged(regret_of: Regret, plan: AccuracyPlan = DEMO, texts_of: float = 1.0) -> DepthOutcome:
    return judge_depth(asked(plan, regret_of, texts_of), plan)


def beyond(position: int, nats: float = 5.0) -> Regret:
    return lambda context, index: nats if context + index >= position else 0.0


@pytest.mark.parametrize("name", PLANS)
def test_what_is_simulated_is_what_shipped_specs_ask(name: str) -> None:
    spec = load_spec(name)
    plan = accuracy_plan(spec, resolve_variants(spec)[0].shape, (0,), "d" * 64)
    simulated = PLANS[name]
    assert simulated.windows == plan.windows
    assert (simulated.context_limit, simulated.answer_tokens) == (plan.context_limit, plan.answer_tokens)


def test_parts_are_the_later_tokens_of_answers_and_quarters_of_the_shape() -> None:
    assert [span.name for span in spans_of(DEMO)] == [
        "tokens 17 to 32 of the answer",
        "tokens 33 to 63 of the answer",
        "tokens 65 to 128 of the context",
        "tokens 129 to 192 of the context",
        "tokens 193 to 255 of the context",
    ]
    few_beyond = DEMO.model_copy(update={"answer_tokens": 60})
    assert [span.name for span in spans_of(few_beyond)][:2] == [
        "tokens 31 to 63 of the answer",
        "tokens 65 to 128 of the context",
    ]


def test_a_token_is_in_the_parts_of_its_place() -> None:
    sample = _sample("0", 120, 20, lambda _context, index: 1.0 if index in {7, 8, 19} else 0.0)
    assert Span("depth", 8, 16).unit(sample) == (1.0, 8)
    assert Span("depth", 16, 60).unit(sample) == (1.0, 4)
    assert Span("context", 64, 128).unit(sample) == (1.0, 8)
    assert Span("context", 128, 192).unit(sample) == (2.0, 12)
    assert Span("context", 192, 256).unit(sample) == (0.0, 0)
    assert units_of(Span("context", 192, 256), [sample]) == []


@pytest.mark.parametrize("plan", [DEMO, LLAMA], ids=list(PLANS))
def test_an_engine_without_regret_passes_with_the_texts_of_a_shipped_spec(plan: AccuracyPlan) -> None:
    outcome = judged(lambda _context, _index: 0.0, plan)
    assert outcome.outcome == "pass", outcome.reason
    assert outcome.checked_tokens == plan.context_limit - 1
    assert f"of the {plan.context_limit:,} tokens that the shape allows were checked" in outcome.reason


@pytest.mark.parametrize(
    ("regret_of", "part"),
    [
        (beyond(96), "tokens 193 to 255 of the context"),
        (beyond(250), "tokens 193 to 255 of the context"),
        (beyond(192, 0.3), "tokens 193 to 255 of the context"),
        (lambda context, _index: 5.0 if context > 96 else 0.0, "tokens 193 to 255 of the context"),
        (lambda _context, index: 5.0 if index >= 32 else 0.0, "tokens 33 to 63 of the answer"),
        (lambda _context, index: 0.2 * index / 32, "tokens 33 to 63 of the answer"),
    ],
)
def test_regret_that_grows_fails_and_a_part_is_named(regret_of: Regret, part: str) -> None:
    outcome = judged(regret_of)
    assert outcome.outcome == "fail"
    assert part in {one.name for one in outcome.parts if one.outcome == "fail"}
    assert f"Regret grows with depth or context: for {outcome.parts[0].name}" in outcome.reason
    assert outcome.parts[0].outcome == "fail"


def test_what_the_mean_of_all_texts_does_not_show_is_found() -> None:
    """Regret of half a nat in the last eight tokens that the shape allows."""
    samples = asked(DEMO, beyond(247, 0.5))
    assert judge_regret(samples, DEMO).outcome == "pass"
    assert judge_gross_errors(samples, DEMO).tokens == 0
    assert judge_depth(samples, DEMO).outcome == "fail"


def test_regret_that_is_everywhere_below_the_margin_passes() -> None:
    assert judged(lambda _context, index: 0.01 if index % 2 else 0.0).outcome == "pass"


def test_too_few_texts_are_underpowered_and_enough_are_named() -> None:
    few = judged(lambda _context, _index: 0.0, texts_of=0.3)
    assert few.outcome == "underpowered"
    assert few.samples < few.samples_needed
    needed = int(few.reason.split("depth_samples: ")[1].split()[0])
    groups = [
        group.model_copy(update={"texts": needed if group.name != "answers" else group.texts})
        for group in DEMO.windows
    ]
    enough = DEMO.model_copy(update={"windows": tuple(groups)})
    assert judged(lambda _context, _index: 0.0, enough).outcome == "pass"


def test_a_few_texts_are_enough_to_show_garbage() -> None:
    assert judged(beyond(192), texts_of=0.1).outcome == "fail"


def test_a_part_that_no_text_reaches_is_not_passed() -> None:
    samples = [one for one in asked(DEMO, lambda _context, _index: 0.0) if one.context_tokens <= 96]
    outcome = judge_depth(samples, DEMO)
    assert outcome.outcome == "underpowered"
    assert outcome.reason.startswith("No text has tokens")
    assert "nothing is known beyond" in outcome.reason


def test_a_declared_limit_of_parts_counts_unless_the_margin_is_larger() -> None:
    strict = DEMO.gate.model_copy(update={"max_part_regret_nats": 0.05})
    assert judged(lambda *_place: 0.0, DEMO.model_copy(update={"gate": strict})).outcome == "underpowered"
    lenient = strict.model_copy(update={"max_regret_nats_per_token": 0.3})
    assert judged(lambda *_place: 0.0, DEMO.model_copy(update={"gate": lenient})).outcome == "pass"
