"""Accuracy, length, tokenizer and SLO gates: three outcomes where three are possible, each with its
numbers.
"""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
from support.judging.judgements import (
    accuracy_result,
    length_samples,
    protocol,
    regret_samples,
)

from tasks.judging import AccuracyPlan
from tasks.judging.decide import qualifies
from tasks.judging.gates import sample_warnings
from tasks.judging.gates.answers.gross_errors import GrossErrorsGate, judge_gross_errors
from tasks.judging.gates.answers.length import judge_lengths
from tasks.judging.gates.answers.regret import RegretGate, judge_regret
from tasks.judging.gates.answers.tokenizer import judge_tokenizer
from tasks.judging.gates.gate import SampledOutcome
from tasks.judging.results import Departure, LengthSample, RegretSample, TokenizerCheck

SMALL = [0.0] * 380 + [0.05] * 20
DAMAGED = [0.0] * 200 + [0.8] * 200


def plan(margin: float = 0.02) -> AccuracyPlan:
    return protocol(margin=margin).accuracy


def test_small_regrets_pass_and_the_sentence_has_the_numbers() -> None:
    outcome = judge_regret(regret_samples(SMALL), plan())
    assert outcome.outcome == "pass"
    assert outcome.regret_nats.estimate == pytest.approx(0.0025)
    assert outcome.regret_nats.upper <= 0.02
    assert outcome.agreement.estimate == pytest.approx((380 + 20 * 0.75) / 400)
    assert "0.00250" in outcome.reason
    assert "400 texts" in outcome.reason


def test_the_worst_text_and_the_worst_token_are_named() -> None:
    reason = judge_regret(regret_samples([*SMALL, 0.3]), plan()).reason
    assert "worst text is 400, with a mean of 0.3000" in reason
    assert "worst token is number 3 after 25 tokens of text 400, with 1.2000." in reason
    assert "own choice" in judge_regret(regret_samples([0.0] * 400), plan()).reason


def test_a_text_is_one_observation_however_many_of_its_tokens_are_wrong() -> None:
    wrong = tuple(Departure(index=i, engine_token=1, reference_token=0, regret_nats=0.5) for i in range(200))
    long = regret_samples([0.0])[0].model_copy(update={"engine_tokens": (1,) * 400, "departures": wrong})
    one, other = (
        judge_regret([*regret_samples([0.0] * 399), last], plan())
        for last in (long, regret_samples([0.25])[0])
    )
    assert one.regret_nats == other.regret_nats
    assert one.samples == 400
    assert one.regret_nats.estimate == pytest.approx(0.25 / 400)


def test_a_text_of_garbage_counts_in_full_and_a_worse_one_is_assumed() -> None:
    outcome = judge_regret(regret_samples([0.0] * 4999 + [8.0]), plan())
    assert outcome.regret_nats.estimate == pytest.approx(8.0 / 5000)
    assert outcome.regret_nats.upper > (8.0 + 2 * 24.0) / 5000
    assert outcome.outcome == "pass"
    assert judge_regret(regret_samples([0.0] * 999 + [8.0]), plan()).outcome == "underpowered"


def test_texts_that_were_asked_together_are_one_observation_if_they_resemble_each_other() -> None:
    alike = [0.2 if index % 100 < 4 else 0.0 for index in range(2000)]
    apart = [0.2 if index % 25 == 0 else 0.0 for index in range(2000)]
    together, alone = (
        judge_regret([one.model_copy(update={"in_flight": 4}) for one in regret_samples(regrets)], plan())
        for regrets in (alike, apart)
    )
    assert together.regret_nats.estimate == pytest.approx(alone.regret_nats.estimate)
    assert together.regret_nats.upper > alone.regret_nats.upper
    assert together.regret_nats.lower < alone.regret_nats.lower


def few_gross_errors(texts: int, wrong: int) -> tuple[RegretSample, ...]:
    """Texts of four tokens, of which one is a gross error in so many texts."""
    return regret_samples([0.6] * wrong + [0.2] * wrong + [0.0] * (texts - 2 * wrong))


@pytest.mark.parametrize(
    ("samples", "expected", "words"),
    [
        (few_gross_errors(4000, 0), "pass", "0 of 16,000 tokens, in 0 of 4,000 texts"),
        (few_gross_errors(4000, 5), "pass", "5 of 16,000 tokens, in 5 of 4,000 texts"),
        (few_gross_errors(4000, 32), "underpowered", "in 32 of 4,000 texts"),
        (few_gross_errors(4000, 80), "fail", "even the lower bound is beyond it"),
        (few_gross_errors(1400, 0), "underpowered", "an engine at half the limit needs"),
        (few_gross_errors(40, 20), "fail", "20 of 160 tokens, in 20 of 40 texts"),
    ],
)
def test_the_share_of_gross_errors_has_a_limit_of_its_own(
    samples: Sequence[RegretSample], expected: str, words: str
) -> None:
    gate = plan().gate.model_copy(update={"max_gross_error_share": 0.002})
    outcome = judge_gross_errors(samples, plan().model_copy(update={"gate": gate}))
    assert (outcome.outcome, outcome.texts) == (expected, outcome.tokens)
    assert words in outcome.reason


def garbled(sample: RegretSample, tokens: int, nats: float = 5.0) -> RegretSample:
    """The same text with an answer of 64 tokens, of which the last ones are garbage."""
    wrong = tuple(
        Departure(index=64 - tokens + index, engine_token=1, reference_token=0, regret_nats=nats)
        for index in range(tokens)
    )
    return sample.model_copy(update={"engine_tokens": (1,) * 64, "asked_tokens": 64, "departures": wrong})


def test_one_garbled_answer_of_many_is_a_fault_within_any_share() -> None:
    right = regret_samples([0.0] * 20_000)
    one = [*right[:-1], garbled(right[-1], 8)]
    outcome = judge_gross_errors(one, plan())
    assert outcome.share.upper <= plan().gate.max_gross_error_share
    assert (outcome.outcome, outcome.garbled) == ("fail", (right[-1].sample_id,))
    assert f"of text {right[-1].sample_id} with {right[-1].in_flight} in flight" in outcome.reason
    assert "more than one answer in" in outcome.reason
    few = judge_gross_errors([*right[:-1], garbled(right[-1], 7)], plan())
    assert (few.outcome, few.garbled) == ("pass", ())


def test_what_garbles_an_answer_is_not_declared() -> None:
    """Noise is no fault if a spec calls it gross, and a fault is one whatever it calls gross."""
    noise = garbled(regret_samples([0.0])[0], 40, nats=0.4)
    fault = garbled(noise, 8)
    for nats, sample, found in ((0.1, noise, ()), (10.0, fault, (fault.sample_id,))):
        gate = plan().gate.model_copy(update={"gross_error_nats": nats})
        outcome = judge_gross_errors([sample], plan().model_copy(update={"gate": gate}))
        assert outcome.garbled == found


def test_that_no_answer_is_garbled_says_how_rare_they_are_at_most() -> None:
    outcome = judge_gross_errors(regret_samples([0.0] * 4000), plan())
    assert outcome.outcome == "pass"
    assert outcome.garbled_share.upper == pytest.approx(
        1 - (1 - outcome.garbled_share.confidence) ** (1 / 4000)
    )
    assert "None of 4000 answers is garbled" in outcome.reason


def test_what_is_a_gross_error_is_declared() -> None:
    samples = regret_samples([0.6] * 10 + [0.0] * 30)
    counts = []
    for nats in (2.0, 2.4, 0.1):
        gate = plan().gate.model_copy(update={"gross_error_nats": nats})
        counts.append(judge_gross_errors(samples, plan().model_copy(update={"gate": gate})).tokens)
    assert counts == [10, 0, 10]


@pytest.mark.parametrize("samples", [400, 24])
def test_a_damaged_engine_fails_even_with_few_samples(samples: int) -> None:
    outcome = judge_regret(regret_samples(DAMAGED[200 - samples // 2 : 200 + samples // 2]), plan())
    assert outcome.outcome == "fail"
    assert outcome.regret_nats.lower > 0.02
    assert "even the lower bound is beyond it" in outcome.reason


def test_agreement_in_too_few_samples_is_underpowered() -> None:
    few = judge_regret(regret_samples([0.0] * 100), plan())
    assert few.outcome == "underpowered"
    assert f"needs {few.samples_needed} texts to pass with 80 % power." in few.reason
    assert judge_regret(regret_samples([0.0] * 320), plan()).outcome == "pass"


def test_the_texts_said_to_be_needed_show_an_engine_at_half_the_margin_to_be_within_it() -> None:
    needed = judge_regret(regret_samples([0.01] * 100), plan()).samples_needed
    assert needed > 299
    assert judge_regret(regret_samples([0.01] * (needed + needed // 30)), plan()).outcome == "pass"
    assert judge_regret(regret_samples([0.01] * (needed - needed // 30)), plan()).outcome == "underpowered"


def test_what_is_not_shown_to_be_worse_never_fails_however_many_samples_there_are() -> None:
    outcome = judge_regret(regret_samples([0.0] * 1800 + [0.1] * 400), plan())
    assert outcome.regret_nats.lower <= 0.02 < outcome.regret_nats.upper
    assert outcome.outcome == "underpowered"
    assert outcome.samples > outcome.samples_needed
    assert "probably nearer to it" in outcome.reason


def test_more_noise_needs_more_samples() -> None:
    calm, noisy = (judge_regret(regret_samples([0.0] * 297 + [x] * 3), plan()) for x in (0.0, 2.0))
    assert noisy.outcome == "underpowered"
    assert noisy.samples_needed > calm.samples_needed


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(40, 40)] * 128, "pass"),
        ([(36, 40), (40, 36)] * 60, "pass"),
        ([(40, 40)] * 31, "underpowered"),
        ([(30, 64)] * 64, "fail"),
        ([(64, 30)] * 64, "fail"),
        ([(1, 63), (63, 1)] * 30, "underpowered"),
        ([(36, 40)] * 4000, "underpowered"),
    ],
)
def test_lengths_pass_fail_or_are_too_few(pairs: Sequence[tuple[int, int]], expected: str) -> None:
    outcome = judge_lengths(length_samples(pairs), up_to_64())
    assert outcome.outcome == expected
    assert ("80 % power" in outcome.reason) == (expected == "underpowered")
    assert f"of {len(pairs)} answers" in outcome.reason


@pytest.mark.parametrize(
    ("ended", "expected"),
    [([], "underpowered"), ([(20, 20)] * 29, "underpowered"), ([(20, 20)] * 300, "pass")],
)
def test_answers_of_which_too_few_ended_show_nothing(ended: list[tuple[int, int]], expected: str) -> None:
    outcome = judge_lengths(length_samples([(64, 64)] * 600 + ended), up_to_64())
    assert (outcome.outcome, outcome.ended) == (expected, len(ended))
    assert outcome.ratio.estimate == 1
    assert outcome.reason.startswith(f"The reference ended {len(ended)} of {600 + len(ended)} answers")
    if expected == "underpowered":
        assert "30 are needed" in outcome.reason
        assert outcome.samples_needed * len(ended) >= 30 * outcome.samples or not ended


@pytest.mark.parametrize("engine", [64, 4], ids=["never-ends", "ends-at-once"])
def test_an_engine_that_ends_elsewhere_is_seen_among_many_answers_that_never_end(engine: int) -> None:
    pairs = [(64, 64)] * 900 + [(engine, 20)] * 60
    assert judge_lengths(length_samples(pairs), up_to_64()).outcome == "fail"


def test_the_number_of_texts_said_to_be_enough_for_half_the_way_is_enough() -> None:
    half = [(38, 40)] * 30
    needed = judge_lengths(length_samples(half), up_to_64()).samples_needed
    assert needed > len(half)
    assert judge_lengths(length_samples(half[:1] * (needed + needed // 30)), up_to_64()).outcome == "pass"


def with_ends(ends: Sequence[str]) -> list[LengthSample]:
    """Equally long answers, and where they end after the same tokens."""
    samples = length_samples([(20, 20)] * len(ends))
    return [one.model_copy(update={"end": end}) for one, end in zip(samples, ends, strict=True)]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (["alike"] * 200 + ["apart"] * 200, "pass"),
        (["alike"] * 399 + ["early"], "underpowered"),
        # Alone it would be shown, with 95 % confidence; it has a third of that error.
        (["alike"] * 397 + ["early"] * 3, "underpowered"),
        (["alike"] * 396 + ["early"] * 4, "fail"),
        (["alike"] * 380 + ["early"] * 20, "fail"),
        (["apart"] * 380 + ["late"] * 20, "fail"),
    ],
)
def test_an_answer_that_ends_elsewhere_after_the_same_tokens_is_the_engines_own_doing(
    ends: list[str], expected: str
) -> None:
    gate = plan().gate.model_copy(update={"max_gross_error_share": 0.002})
    outcome = judge_lengths(with_ends(ends), up_to_64().model_copy(update={"gate": gate}))
    assert outcome.outcome == expected
    assert outcome.misplaced == sum(end in {"early", "late"} for end in ends)
    assert outcome.reason.startswith("After the same tokens") == (expected != "pass")


def test_answers_cut_just_below_the_limit_are_seen_by_the_share_that_ends() -> None:
    """The mean length is within its bounds: 60 of 64 tokens are .94 of what the reference has."""
    pairs = [(60, 64)] * 150 + [(20, 20)] * 250
    outcome = judge_lengths(length_samples(pairs), up_to_64())
    assert outcome.ratio.lower > 0.9
    assert outcome.ended_more.estimate == pytest.approx(150 / 400)
    assert outcome.outcome == "fail"
    assert "37.5% more of them" in outcome.reason
    assert outcome.reason.endswith(
        "Shown to be outside: the share that ended; 3 ways to fail share the error."
    )


def test_answers_that_may_not_end_and_do_are_enough() -> None:
    fine = length_samples([(20, 20)] * 400)
    assert judge_lengths(fine, up_to_64()).outcome == "pass"
    outcome = judge_lengths(fine, up_to_64(), cut=1)
    assert (outcome.outcome, outcome.cut) == ("fail", 1)
    assert outcome.reason.startswith("1 answers that were to have a number of tokens")


def up_to_64() -> AccuracyPlan:
    return plan().model_copy(update={"length_max_tokens": 64})


def test_one_text_that_reads_differently_is_enough() -> None:
    same = TokenizerCheck(text="a", same_ids=True, same_text=True)
    differs = TokenizerCheck(text="Größe", same_ids=True, same_text=False, detail="text 'x' where 'y'")
    assert judge_tokenizer([same, same]).outcome == "same"
    outcome = judge_tokenizer([same, differs])
    assert outcome.outcome == "different"
    assert "1 of 2" in outcome.reason
    assert "Größe" in outcome.reason


def test_only_an_accurate_reference_qualifies() -> None:
    asked = protocol(margin=0.02)
    assert qualifies(accuracy_result("0" * 64, SMALL, name="vllm fp8"), asked)
    assert not qualifies(accuracy_result("0" * 64, DAMAGED, name="vllm fp8"), asked)


@pytest.mark.parametrize(
    ("gate", "judge"), [(RegretGate(), judge_regret), (GrossErrorsGate(), judge_gross_errors)]
)
@pytest.mark.parametrize("in_flight", [(1,), (2,), (1, 2, 8), (8, 32, 256)])
def test_with_the_fewest_texts_a_flawless_engine_passes_and_with_fewer_it_does_not(
    gate: RegretGate | GrossErrorsGate, judge: Callable[..., SampledOutcome], in_flight: tuple[int, ...]
) -> None:
    """Texts that are asked together are one unit of the bound. What it draws is within 5 % of the truth."""
    needed = next(n for n in range(10, 4000) if gate.has_enough_texts(asked_with(in_flight, n)))
    for texts, outcome in ((int(1.05 * needed), "pass"), (int(0.95 * needed), "underpowered")):
        asked = asked_with(in_flight, texts)
        flight = [number for number, count in asked.runs() for _ in range(count)]
        samples = [
            sample.model_copy(update={"in_flight": number})
            for sample, number in zip(regret_samples([0.0] * texts), flight, strict=True)
        ]
        assert judge(samples, asked).outcome == outcome


def asked_with(in_flight: tuple[int, ...], texts: int) -> AccuracyPlan:
    """What is asked of one group of so many texts, with these numbers of requests in flight."""
    usual = plan().windows[0].model_copy(update={"texts": texts})
    strict = plan().gate.model_copy(update={"max_gross_error_share": 0.005})
    return plan().model_copy(update={"windows": (usual,), "in_flight": in_flight, "gate": strict})


def test_a_spec_with_too_few_texts_is_told_which_gate_needs_how_many() -> None:
    (warning,) = sample_warnings(597, partial(asked_with, (1,)))
    assert warning == (
        "validation.accuracy.samples: the gate 'gross errors' needs 598 texts, asked with up to 1 in flight, "
        "to show that an engine is accurate in which nothing is wrong, and 597 are declared. Raise samples, "
        "or the verdict cannot be compile"
    )
    assert sample_warnings(598, partial(asked_with, (1,))) == ()
    (warning,) = sample_warnings(598, partial(asked_with, (8, 32, 256)))
    assert "needs 695 texts, asked with up to 256 in flight" in warning
    assert sample_warnings(695, partial(asked_with, (8, 32, 256))) == ()
