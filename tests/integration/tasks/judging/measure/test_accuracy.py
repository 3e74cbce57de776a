"""Measuring over HTTP against stand-ins: what is asked, in which order, and that planted differences are
found.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support.judging.accuracy import measure_accuracy
from support.judging.fake_completions import (
    BEGIN,
    SHIFT,
    Behaviour,
    FakeServer,
    Fault,
    Speech,
    fake_server,
    next_byte,
)
from support.judging.judgements import endpoint, resident
from support.judging.measured_fakes import ASKED, SPEECHES, TEXTS, another, ignore, wrong_now_and_then

from tasks.errors import ServerBroke, TooLittleText
from tasks.judging import AccuracyResult, JudgingProtocol
from tasks.judging.gates.answers.length import judge_lengths
from tasks.judging.gates.answers.regret import judge_regret
from tasks.judging.gates.answers.tokenizer import judge_tokenizer


def accuracy_of(behaviour: Behaviour, reference: FakeServer, texts: Sequence[str] = TEXTS) -> AccuracyResult:
    with fake_server(behaviour) as engine:
        return accuracy_by(engine, reference, texts)


def accuracy_by(engine: FakeServer, reference: FakeServer, texts: Sequence[str] = TEXTS) -> AccuracyResult:
    return accuracy_under(ASKED, engine, reference, texts)


def accuracy_under(
    asked: JudgingProtocol, engine: FakeServer, reference: FakeServer, texts: Sequence[str] = TEXTS
) -> AccuracyResult:
    side = endpoint("engine", engine.base_url, engine.behaviour.speaks)
    placement = resident([side, endpoint("vllm", reference.base_url)])
    return measure_accuracy(placement, side.side, texts, asked, say=ignore)


@pytest.mark.parametrize("speaks", SPEECHES)
def test_an_equal_engine_has_no_regret(reference: FakeServer, speaks: Speech) -> None:
    result = accuracy_of(Behaviour(speaks=speaks), reference)
    assert [sample.sample_id for sample in result.samples] == [str(n) for n in range(40)]
    assert {sample.regret_nats for sample in result.samples} == {0.0}
    assert {len(sample.engine_tokens) for sample in result.samples} == {6}
    assert [sample.in_flight for sample in result.samples] == [2] * 20 + [3] * 20
    assert all(one.common_prefix_tokens == one.engine_tokens == 8 for one in result.lengths)
    assert judge_regret(result.samples, ASKED.accuracy).outcome == "pass"
    assert judge_tokenizer(result.tokenizer).outcome == "same"
    assert result.protocol_digest == ASKED.digest


def begins_anew(prompt: Sequence[int]) -> int:
    """The stand-in's token, or the one that begins a text, as of a model that was trained on joined texts."""
    return BEGIN if len(prompt) % 3 == 0 else next_byte(prompt)


@pytest.mark.parametrize("speaks", SPEECHES)
def test_special_tokens_in_the_middle_of_an_answer_have_no_text_on_any_side(speaks: Speech) -> None:
    with fake_server(Behaviour(next_token=begins_anew)) as reference:
        result = accuracy_of(Behaviour(next_token=begins_anew, speaks=speaks), reference)
    assert any(BEGIN in sample.engine_tokens for sample in result.samples)
    assert judge_regret(result.samples, ASKED.accuracy).regret_nats.estimate == 0
    assert judge_tokenizer(result.tokenizer).outcome == "same", judge_tokenizer(result.tokenizer).reason


@pytest.mark.parametrize("in_flight", [(1,), (2, 5)])
def test_as_many_are_in_flight_as_the_protocol_says(
    reference: FakeServer, in_flight: tuple[int, ...]
) -> None:
    plan = ASKED.accuracy.model_copy(update={"in_flight": in_flight})
    asked = ASKED.model_copy(update={"accuracy": plan})
    with fake_server(Behaviour(first_token_s=0.01)) as engine:
        accuracy_under(asked, engine, reference)
    assert engine.most_streaming == max(in_flight)


def test_planted_damage_is_found_and_rejected(reference: FakeServer) -> None:
    reference.behaviour.regret_of = lambda token: 1.5
    result = accuracy_of(Behaviour(next_token=wrong_now_and_then), reference)
    wrong = [token for sample in result.samples for token in sample.departures]
    assert len(wrong) > 40
    assert {round(token.regret_nats, 6) for token in wrong} == {1.5}
    assert judge_regret(result.samples, ASKED.accuracy).outcome == "fail"


def test_the_worst_departures_are_decoded_where_they_stand(reference: FakeServer) -> None:
    a, b = reference.encode("ab")
    reference.behaviour.next_token = lambda prompt: a
    reference.behaviour.regret_of = lambda token: 0.5

    def wrong_once(prompt: Sequence[int]) -> int:
        return b if list(prompt[-2:]) == [a, a] and b not in prompt[-5:] else a

    result = accuracy_of(Behaviour(next_token=wrong_once), reference)
    assert len(result.excerpts) == 12, "of many, the worst"
    assert sum(len(sample.departures) for sample in result.samples) > 12
    for one in result.excerpts:
        sample = next(sample for sample in result.samples if sample.sample_id == one.sample_id)
        assert one.departure in sample.departures
        assert (one.engine_text, one.reference_text) == ("b", "a")
        continued = reference.decode(sample.engine_tokens[: one.departure.index])
        text = TEXTS[int(one.sample_id)].encode()[: one.context_tokens - 1].decode() + continued
        assert one.before == "".join([f"<special {BEGIN}>", *text][-32:])


def test_a_departure_within_a_character_is_decoded_as_far_as_it_goes(reference: FakeServer) -> None:
    first, second, other = (byte + SHIFT for byte in (0xC3, 0xB6, 0xA4))
    reference.behaviour.next_token = lambda prompt: second if prompt[-1] == first else first
    reference.behaviour.regret_of = lambda token: 0.5
    result = accuracy_of(
        Behaviour(next_token=lambda prompt: other if prompt[-1] == first else first), reference
    )
    assert {(one.before[-1], one.engine_text, one.reference_text) for one in result.excerpts} == {
        ("\ufffd", "ä", "ö")
    }


@pytest.mark.parametrize("right", [1, 2, 5])
def test_an_engine_that_is_wrong_after_the_first_tokens_is_rejected(
    reference: FakeServer, right: int
) -> None:
    reference.behaviour.regret_of = lambda token: 4.0
    contexts: set[tuple[int, ...]] = set()

    def wrong_later(prompt: Sequence[int]) -> int:
        contexts.update([] if any(tuple(prompt[:-n]) in contexts for n in range(1, 6)) else [tuple(prompt)])
        generated = next(n for n in range(7) if tuple(prompt[: len(prompt) - n]) in contexts)
        token = next_byte(prompt)
        return token if generated < right else another(token)

    result = accuracy_of(Behaviour(next_token=wrong_later), reference)
    indexes = [{token.index for token in sample.departures} for sample in result.samples]
    assert indexes == [set(range(right, 6))] * 40
    assert judge_regret(result.samples, ASKED.accuracy).outcome == "fail"


@pytest.mark.parametrize("speaks", SPEECHES)
def test_the_reference_scores_exactly_what_the_engine_streamed(reference: FakeServer, speaks: Speech) -> None:
    with fake_server(Behaviour(speaks=speaks)) as engine:
        result = accuracy_by(engine, reference)
    asking = {"return_token_ids": True} if speaks == "vllm" else {"detokenize": False}
    streamed = [one for one in engine.requests if one.get("stream") and asking.items() <= one.items()]
    assert {one["max_tokens"] for one in streamed} == {6}
    assert all(one["ignore_eos"] for one in streamed)
    scored = [one for one in reference.requests if one.get("prompt_logprobs") == 1]
    assert len(scored) == 40
    continued = {tuple(one["prompt"][-6:]) for one in scored}
    assert continued == {sample.engine_tokens for sample in result.samples}
    assert {tuple(one["prompt"][:-6]) for one in scored} <= {tuple(one["prompt"]) for one in streamed}
    assert all(one["prompt"][0] == 0 for one in scored), "a text starts with its begin-of-text id"


@pytest.mark.parametrize("speaks", SPEECHES)
def test_an_engine_that_writes_otherwise_where_it_is_timed_is_rejected(
    reference: FakeServer, speaks: Speech
) -> None:
    result = accuracy_of(Behaviour(streams=lambda _text: "", speaks=speaks), reference)
    outcome = judge_tokenizer(result.tokenizer)
    assert outcome.outcome == "different"
    assert "3 of 16 texts differ" in outcome.reason
    assert "streamed as in timed rounds ''" in outcome.reason


def spoil(change: Callable[[dict[str, Any]], Any]) -> Callable[[list[Any]], list[Any]]:
    """Change the entry of a prompt's last token but one, which is in the middle of a continuation."""
    return lambda entries: [*entries[:-2], change(entries[-2]), entries[-1]]


def of_all(**changes: Any) -> Callable[[list[Any]], list[Any]]:
    """Change the score of every token of that entry."""
    return spoil(lambda entry: {token: score | changes for token, score in entry.items()})


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (of_all(logprob=None), "something other than log-probabilities for token"),
        (of_all(logprob=math.nan), "something other than log-probabilities"),
        (of_all(logprob=math.inf), "something other than log-probabilities"),
        (of_all(logprob=-math.inf), "something other than log-probabilities"),
        (of_all(logprob="-0.1"), "something other than log-probabilities"),
        (of_all(logprob=0.5), "something other than log-probabilities"),
        (of_all(rank=2), "no likeliest token"),
        (of_all(rank=None), "no likeliest token"),
        (spoil(lambda _entry: None), "no log-probability for token"),
        (spoil(lambda _entry: {}), "no log-probability for token"),
        (spoil(lambda _entry: {"258": {"logprob": -0.1, "rank": 1}}), "no log-probability for token"),
        (lambda entries: entries[:-1], r"prompt_logprobs for a prompt of \d+ tokens"),
        (lambda _entries: [], r"0 prompt_logprobs for a prompt"),
    ],
)
def test_a_score_that_is_no_number_is_an_error_and_never_a_regret_of_zero(
    scores: Callable[[list[Any]], list[Any]], message: str
) -> None:
    with (
        fake_server(Behaviour(scores=scores)) as reference,
        pytest.raises(ServerBroke, match=message) as caught,
    ):
        accuracy_of(Behaviour(), reference)
    assert caught.value.where == f"{reference.base_url} (vllm)"
    assert "vLLM" in caught.value.fix


def test_an_engine_that_stops_early_is_found_by_its_lengths(reference: FakeServer) -> None:
    result = accuracy_of(Behaviour(stops_after=3), reference)
    assert {(one.engine_tokens, one.reference_tokens) for one in result.lengths} == {(3, 8)}
    assert judge_lengths(result.lengths, ASKED.accuracy).outcome == "fail"


def test_a_penalty_that_a_checkpoint_names_takes_no_part() -> None:
    with fake_server(Behaviour(penalizes=True)) as reference:
        result = accuracy_of(Behaviour(), reference)
    assert {sample.regret_nats for sample in result.samples} == {0.0}
    assert all(one.common_prefix_tokens == one.reference_tokens for one in result.lengths)


def test_every_side_is_asked_to_end_where_a_continuation_ends(reference: FakeServer) -> None:
    ends = tuple(range(SHIFT, SHIFT + 256, 4))
    asked = ASKED.model_copy(update={"accuracy": ASKED.accuracy.model_copy(update={"end_tokens": ends})})
    with fake_server(Behaviour()) as engine:
        result = accuracy_under(asked, engine, reference)
    assert min(one.engine_tokens for one in result.lengths) < ASKED.accuracy.length_max_tokens
    assert all(one.engine_tokens == one.reference_tokens for one in result.lengths)


def test_an_engine_that_cuts_long_prompts_is_found(reference: FakeServer) -> None:
    cut = ASKED.accuracy.round_trip_tokens - 5
    (failed,) = [one for one in accuracy_of(Behaviour(cuts_at=cut), reference).tokenizer if not one.same_ids]
    assert failed.text.startswith(TEXTS[0][:20])


def test_a_reference_that_answers_nothing_is_an_error_and_no_ratio_of_lengths(reference: FakeServer) -> None:
    reference.behaviour.stops_after = 0
    with pytest.raises(ServerBroke, match="with no token at all"):
        accuracy_of(Behaviour(), reference)


def test_the_longest_prompt_is_as_long_as_the_engine_takes(reference: FakeServer) -> None:
    with fake_server(Behaviour()) as engine:
        accuracy_by(engine, reference)
    prompts = [one["prompt"] for one in engine.requests]
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    assert len(texts) > 5
    assert any("日本語" in text for text in texts)
    longest = max(
        len(engine.encode(prompt)) if isinstance(prompt, str) else len(prompt) for prompt in prompts
    )
    limit = ASKED.accuracy.round_trip_tokens
    assert 0.9 * limit < longest <= limit


@pytest.mark.parametrize(
    ("speaks", "said"), [("vllm", "token ids"), ("trtllm-serve-1.4", "44 tokens, but the reference has 45")]
)
def test_another_tokenizer_is_found(reference: FakeServer, speaks: Speech, said: str) -> None:
    result = accuracy_of(Behaviour(begins_text=False, speaks=speaks), reference)
    outcome = judge_tokenizer(result.tokenizer)
    assert outcome.outcome == "different"
    assert said in outcome.reason


@pytest.mark.parametrize("speaks", SPEECHES)
def test_ids_written_out_otherwise_are_found(reference: FakeServer, speaks: Speech) -> None:
    result = accuracy_of(Behaviour(spells=lambda text: f"{text}~", speaks=speaks), reference)
    assert not any(check.same_text for check in result.tokenizer[: -ASKED.accuracy.streamed_texts])
    assert all(check.same_ids for check in result.tokenizer)
    assert judge_tokenizer(result.tokenizer).outcome == "different"


@pytest.mark.parametrize("speaks", SPEECHES)
def test_an_engine_that_takes_a_rare_token_for_others_is_rejected(
    reference: FakeServer, speaks: Speech
) -> None:
    """No text of the judge has the byte 1; the vocabulary has."""
    with fake_server(Behaviour(speaks=speaks)) as engine:
        encode = engine.encode
        engine.encode = lambda text: encode(text.replace("\x01", "\x02\x02"))  # type: ignore[method-assign]
        result = accuracy_by(engine, reference)
    (failed,) = [one for one in result.tokenizer if not one.same_ids]
    assert "\x01" in failed.text or failed.detail
    assert judge_tokenizer(result.tokenizer).outcome == "different"


def test_an_answer_that_turns_between_two_requests_is_no_other_tokenizer(reference: FakeServer) -> None:
    seen: set[tuple[int, ...]] = set()

    def turns_once(prompt: Sequence[int]) -> int:
        start = tuple(prompt[:9])
        turns = start not in seen
        seen.add(start)
        return SHIFT + (next_byte(prompt) - SHIFT + turns) % 256

    checked = Behaviour(next_token=turns_once, speaks="trtllm-serve-1.4")
    with fake_server(checked) as engine:
        result = accuracy_by(engine, reference)
    assert judge_tokenizer(result.tokenizer).outcome == "same"
    asked = [one["prompt"] for one in engine.requests if isinstance(one["prompt"], str)]
    assert max(Counter(asked).values()) == 6, "three times for ids, three times for text"


@pytest.mark.parametrize("speaks", SPEECHES)
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("miscount", "has 1 ids, but counts 2 in all"),
        ("no-ids", "has 0 token ids but counts 6"),
        ("negative", "reports -1 as completion_tokens"),
        ("no-whole-count", "reports 1.5 as completion_tokens"),
    ],
)
def test_an_engine_that_miscounts_its_tokens_has_no_result(
    reference: FakeServer, fault: Fault, message: str, speaks: Speech
) -> None:
    with pytest.raises(ServerBroke, match=message):
        accuracy_of(Behaviour(fault=fault, speaks=speaks), reference)


def test_too_little_text_is_reported_before_anything_is_judged(reference: FakeServer) -> None:
    with pytest.raises(TooLittleText, match="40 are declared"):
        accuracy_of(Behaviour(), reference, TEXTS[:39])
