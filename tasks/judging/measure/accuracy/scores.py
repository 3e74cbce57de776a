"""The scores that the reference gives to kept answers."""

from collections.abc import Sequence

from tasks.judging.measure.accuracy.answers import Answers, Continuation
from tasks.judging.measure.accuracy.departures import read_departures
from tasks.judging.measure.accuracy.excerpts import excerpts_of
from tasks.judging.measure.accuracy.questions import Questions
from tasks.judging.measure.accuracy.round_trips import compare_readings
from tasks.judging.measure.accuracy.task_scores import compare_answers
from tasks.judging.measure.completions import CompletionsClient, map_bounded
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import AccuracyResult, End, LengthSample, RegretSample


async def score_answers(
    reference: CompletionsClient, questions: Questions, answers: Answers, protocol: JudgingProtocol
) -> AccuracyResult:
    """Score one side: regret, lengths of continuations, and tokenizer; and decode its worst departures.

    Raises:
        ServerBroke: the reference failed, or does not score as vLLM does.
    """
    most = max(protocol.accuracy.in_flight)

    async def score(continuation: Continuation) -> RegretSample:
        return await _regret(reference, continuation)

    samples = await map_bounded(score, answers.continued, parallel=most)
    return AccuracyResult(
        side=answers.side,
        reference=reference.endpoint.side.name,
        protocol_digest=protocol.digest,
        samples=tuple(samples),
        lengths=_lengths(questions, answers, frozenset(protocol.accuracy.end_tokens)),
        tokenizer=(
            *await compare_readings(
                reference,
                questions.round_trips,
                answers.readings,
                special_ids=protocol.vocabulary.special_ids,
                parallel=most,
            ),
            *answers.streams,
        ),
        excerpts=await excerpts_of(reference, answers.continued, samples, parallel=most),
        tasks=compare_answers(questions.tasks, answers.tasks, questions.task_answers),
    )


async def _regret(reference: CompletionsClient, continuation: Continuation) -> RegretSample:
    """Score each token of a continuation."""
    window, tokens = continuation.window, continuation.tokens
    scored = await reference.complete([*window.prompt, *tokens], 1, prompt_logprobs=1)
    context = len(window.prompt)
    return RegretSample(
        sample_id=window.sample_id,
        in_flight=continuation.in_flight,
        context_tokens=context,
        behind=window.behind,
        asked_tokens=window.continuation_tokens,
        engine_tokens=tokens,
        departures=read_departures(scored, tokens, context_tokens=context, asked=reference.endpoint),
    )


def _lengths(questions: Questions, answers: Answers, end_tokens: frozenset[int]) -> tuple[LengthSample, ...]:
    windows = questions.windows[: len(questions.continuations)]
    continued = answers.continued[: len(windows)]
    both = zip(windows, answers.to_their_end, questions.continuations, continued, strict=True)
    return tuple(
        LengthSample(
            sample_id=window.sample_id,
            engine_tokens=len(engine),
            reference_tokens=len(reference),
            common_prefix_tokens=_common_prefix(engine, reference),
            end=_compare_ends(engine, reference, end_tokens, scored.tokens),
        )
        for window, engine, reference, scored in both
    )


def _compare_ends(
    engine: Sequence[int], reference: Sequence[int], end_tokens: frozenset[int], scored: Sequence[int]
) -> End:
    """Say whether an answer ends elsewhere after the same tokens; some servers leave out the end token.

    `scored` are the engine's tokens after the same context if it may not end. If they have an end token where
    the answer ended, its model chose that token there, maybe for a hair's breadth: its regret is scored, and
    the answers are apart as they are if the server returns the token.
    """
    common = _common_prefix(engine, reference)
    more_of_engine, more_of_reference = engine[common:], reference[common:]
    if more_of_engine and more_of_reference:
        return "apart"
    more = more_of_engine or more_of_reference
    if not more or (len(more) == 1 and more[0] in end_tokens):
        return "alike"
    if more_of_engine:
        return "late"
    chosen = scored[common] if tuple(scored[:common]) == tuple(engine) and len(scored) > common else None
    return "apart" if chosen in end_tokens else "early"


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
