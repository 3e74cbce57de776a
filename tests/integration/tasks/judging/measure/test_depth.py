"""Damage that shows only late in an answer, after a long context, or where an answer ends: planted in
stand-ins, measured over HTTP, and rejected with few texts.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support.judging.accuracy import measure_accuracy
from support.judging.fake_completions import SHIFT, Behaviour, FakeServer, fake_server
from support.judging.judgements import endpoint, protocol, resident
from support.judging.measured_fakes import another, ignore

from tasks.judging import AccuracyResult, WindowGroup
from tasks.judging.decide import rejecting
from tasks.judging.gates import Evidence, judge_gates

# As the demo's spec asks, with answers of 64 tokens and few texts: an engine without any regret just passes.
EACH = 16
ANSWER_TOKENS, CONTEXT_LIMIT = 64, 256
WINDOWS = tuple(
    WindowGroup(
        name=name,  # type: ignore[arg-type]
        texts=EACH,
        min_context_tokens=least,
        max_context_tokens=most,
        continuation_tokens=tokens,
    )
    for name, least, most, tokens in (
        ("answers", 16, 96, ANSWER_TOKENS),
        ("long", 97, 190, ANSWER_TOKENS),
        ("to-the-end", 190, 190, CONTEXT_LIMIT - 1 - 190),
    )
)
# One token in 16 ends an answer, so that most end before 64.
ENDS = tuple(range(SHIFT, SHIFT + 16))
BASE = protocol(samples=3 * EACH, margin=0.15, max_gross_error_share=0.07, max_part_regret_nats=0.4)
ASKED = BASE.model_copy(
    update={
        "accuracy": BASE.accuracy.model_copy(
            update={
                "windows": WINDOWS,
                "context_limit": CONTEXT_LIMIT,
                "answer_tokens": ANSWER_TOKENS,
                "length_texts": EACH,
                "length_max_tokens": ANSWER_TOKENS,
                "end_tokens": ENDS,
                "round_trip_texts": 1,
                "streamed_texts": 1,
            }
        )
    }
)
TEXTS = [f"Text {n}: " + "The grass is green and the sky is blue. " * (n % 4) for n in range(3 * EACH)]

Continues = Callable[[int, Sequence[int]], int]


def right(ids: Sequence[int], shift: int = 0) -> int:
    """A token that depends on all tokens and on their number, without the cycles of a sum."""
    return SHIFT + zlib.crc32(b"%d/%d" % (sum(ids), len(ids) + shift)) % 256


def garbage(ids: Sequence[int], *, wrong: bool) -> int:
    return another(right(ids)) if wrong else right(ids)


def garbage_after(tokens: int) -> Continues:
    return lambda prompt, ids: garbage(ids, wrong=len(ids) - prompt >= tokens)


def garbage_beyond(position: int) -> Continues:
    return lambda _prompt, ids: garbage(ids, wrong=len(ids) >= position)


def garbage_for_prompts(of: int) -> Continues:
    return lambda prompt, ids: garbage(ids, wrong=prompt >= of)


def stale_beyond(position: int) -> Continues:
    """What is generated beyond a position never gets into the cache; the last token is always there."""

    def continues(prompt: int, ids: Sequence[int]) -> int:
        kept = max(prompt, position)
        return right([*ids[:kept], *ids[max(kept, len(ids) - 1) :]], shift=max(0, len(ids) - 1 - kept))

    return continues


def off_by(places: int) -> Continues:
    """In decode, tokens are taken to be at other places than their own."""
    return lambda prompt, ids: right(ids, shift=places if len(ids) > prompt else 0)


DAMAGES: dict[str, Continues] = {
    **{f"garbage after {n} tokens": garbage_after(n) for n in (1, 2, 8, 32)},
    **{f"garbage beyond position {n}": garbage_beyond(n) for n in (96, 128, 224)},
    "garbage for prompts of 97 tokens and more": garbage_for_prompts(97),
    **{f"stale cache beyond {n}": stale_beyond(n) for n in (96, 128)},
    **{f"positions off by {n} in decode": off_by(n) for n in (1, 20)},
}


def measured(reference: FakeServer, **damage: Any) -> AccuracyResult:
    reference.behaviour.next_token, reference.behaviour.regret_of = right, lambda _token: 4.0
    with fake_server(Behaviour(next_token=right, **damage)) as engine:
        side = endpoint("engine", engine.base_url)
        placement = resident([side, endpoint("vllm", reference.base_url)])
        return measure_accuracy(placement, side.side, TEXTS, ASKED, say=ignore)


def outcomes(result: AccuracyResult) -> dict[str, str]:
    return {name: one.outcome for name, one in judge_gates(Evidence(ASKED, result)).items()}


def test_an_equal_engine_has_no_regret_in_any_part(reference: FakeServer) -> None:
    result = measured(reference)
    assert {sample.regret_nats for sample in result.samples} == {0.0}
    assert rejecting(result, ASKED) == ()
    found = outcomes(result)
    assert (found["regret"], found["gross errors"], found["depth"]) == ("pass", "pass", "pass")
    ends = [sample.context_tokens + len(sample.engine_tokens) for sample in result.samples]
    assert ends[-EACH:] == [CONTEXT_LIMIT - 1] * EACH
    assert {one.end for one in result.lengths} == {"alike"}


def test_the_texts_that_make_a_context_are_recorded(reference: FakeServer) -> None:
    result = measured(reference)
    known = {str(n) for n in range(len(TEXTS))}
    assert all(len(sample.behind) > 0 for sample in result.samples[-EACH:])
    assert {name for sample in result.samples for name in sample.behind} <= known


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_late_in_answers_or_after_long_contexts_is_rejected(
    reference: FakeServer, damage: str
) -> None:
    result = measured(reference, continues=DAMAGES[damage])
    assert "depth" in rejecting(result, ASKED)
    assert "grows with depth or context" in judge_gates(Evidence(ASKED, result))["depth"].reason


def test_an_engine_that_cuts_answers_is_rejected_though_they_are_hardly_shorter(
    reference: FakeServer,
) -> None:
    result = measured(reference, longest_answer=60)
    assert rejecting(result, ASKED) == ("length",)
    reason = judge_gates(Evidence(ASKED, result))["length"].reason
    assert f"{3 * EACH} answers that were to have a number of tokens, whatever they are, have fewer" in reason


def test_an_engine_that_never_ends_an_answer_is_rejected(reference: FakeServer) -> None:
    result = measured(reference, ends_nowhere=True)
    assert rejecting(result, ASKED) == ("length",)
    late = [one for one in result.lengths if one.end == "late"]
    assert len(late) >= EACH // 2
    assert {one.engine_tokens for one in late} == {ANSWER_TOKENS}


def test_ends_after_the_same_tokens_are_compared(reference: FakeServer) -> None:
    """Answers that may end are cut as well, where the reference goes on."""
    result = measured(reference, longest_answer=5)
    early = [one for one in result.lengths if one.end == "early"]
    assert len(early) > EACH // 4
    assert {one.engine_tokens for one in early} == {5}
