"""What accuracy is asked: from workload and shape to the windows of held-out texts. Pure.

Accuracy is measured with requests like those of the workload: contexts and answers are as long. But an engine
may be wrong only where few requests come: late in long answers, or beyond a length of context. So some texts
have contexts as long as the shape allows, and some are continued to its end.

Equal parts of the windows of each group are asked with as many requests in flight as at the operating point,
with the largest declared number, and with twice as many as the engine computes at once, if these are more:
which code of an engine runs depends on how many rows it computes and how many prompts wait, and in open loop,
as in use, there are as many as happen to meet.
"""

from itertools import takewhile

from engine_specs.spec import Shape, Spec, Workload
from tasks.judging import ROUND_TRIP_ANSWER_TOKENS, AccuracyPlan, WindowGroup

# Tokens by which every text is continued. Most faulty engines have failed by then; if answers are longer,
# only the texts whose lengths are compared are continued as far, as each token costs time on both sides.
START_TOKENS = 64
MIN_CONTEXT_TOKENS = 16
# Contexts are at least this long if the engine takes them, however short the workload's prompts are.
LEAST_LONGEST_CONTEXT = 96
# vLLM generates at least this while it scores a prompt.
SCORING_TOKENS = 1
# Beyond, answers to the end of a shape would take longer than all others together.
MOST_TO_THE_END = 16_384
# With so many requests per row, all rows are in use, and prompts wait to be read together.
ROWS_FULL = 2
# More in flight would open more connections than a host lets one process have.
MOST_IN_FLIGHT = 256
# A request may take this long, and this much more per token.
REQUEST_S, TOKEN_S = 300.0, 0.2


def accuracy_plan(spec: Spec, shape: Shape, end_tokens: tuple[int, ...], text_sha256: str) -> AccuracyPlan:
    """Return what is asked to find out how accurate an engine of this shape is.

    Args:
        spec: gives workload and gate.
        shape: what the engine takes; nothing longer is asked.
        end_tokens: ids at which the checkpoint ends answers.
        text_sha256: digest of the held-out texts.
    """
    gate, load = spec.validation.accuracy, spec.workload
    groups = window_groups(spec, shape)
    length_max = min(max(START_TOKENS, load.output_tokens), shape.max_seq_len - groups[0].max_context_tokens)
    with_room = takewhile(lambda group: group.max_context_tokens + length_max <= shape.max_seq_len, groups)
    deepest = max(group.continuation_tokens for group in groups)
    return AccuracyPlan(
        gate=gate,
        text_sha256=text_sha256,
        windows=groups,
        context_limit=shape.max_seq_len,
        answer_tokens=load.output_tokens,
        length_texts=min(gate.length_samples, sum(group.texts for group in with_room)),
        length_max_tokens=length_max,
        end_tokens=tuple(sorted({*end_tokens, *gate.stop_token_ids})),
        round_trip_tokens=min(shape.max_input_len, max(1, shape.max_seq_len - ROUND_TRIP_ANSWER_TOKENS)),
        in_flight=_in_flight(load, shape),
        request_limit_s=max(REQUEST_S, TOKEN_S * deepest),
    )


def _in_flight(load: Workload, shape: Shape) -> tuple[int, ...]:
    """Return the different numbers of requests in flight with which accuracy is asked."""
    declared = max(load.concurrency)
    full = min(ROWS_FULL * shape.max_batch_size, MOST_IN_FLIGHT)
    return tuple(dict.fromkeys((load.operating_point, declared, max(declared, full))))


def window_groups(spec: Spec, shape: Shape) -> tuple[WindowGroup, ...]:
    """Return the groups of windows, the usual ones first; one that the shape makes impossible is absent."""
    gate, load, room = spec.validation.accuracy, spec.workload, shape.max_seq_len - SCORING_TOKENS
    start = min(load.output_tokens, START_TOKENS, room - 1)
    usual = min(max(load.input_tokens, LEAST_LONGEST_CONTEXT), shape.max_input_len, room - start)
    longest = min(shape.max_input_len, room - start)
    to_the_end = min(room - longest, MOST_TO_THE_END)
    few = min(gate.depth_samples, gate.samples // 3)
    unusual = [
        _group("long", few if longest > usual else 0, usual + 1, longest, start),
        _group("to-the-end", few if to_the_end > start else 0, longest, longest, to_the_end),
    ]
    texts = gate.samples - sum(group.texts for group in unusual if group)
    return tuple(
        group for group in (*_usual(load, texts, gate.length_samples, usual, room), *unusual) if group
    )


def _usual(
    load: Workload, texts: int, whole_answers: int, context: int, room: int
) -> tuple[WindowGroup | None, ...]:
    """Return windows like the workload's requests; of most, only the start of a long answer is made."""
    least = min(MIN_CONTEXT_TOKENS, context)
    if load.output_tokens <= START_TOKENS:
        return (_group("answers", texts, least, context, min(load.output_tokens, room - context)),)
    # Contexts as long as prompts are not shortened for longer answers.
    longest = min(context, max(room - load.output_tokens, min(load.input_tokens, context)))
    whole = min(whole_answers, texts)
    return (
        _group("answers", whole, min(least, longest), longest, min(load.output_tokens, room - longest)),
        _group("starts", texts - whole, least, context, min(START_TOKENS, room - context)),
    )


def _group(name: str, texts: int, least: int, most: int, continuation: int) -> WindowGroup | None:
    if not texts:
        return None
    return WindowGroup.model_validate(
        {
            "name": name,
            "texts": texts,
            "min_context_tokens": least,
            "max_context_tokens": most,
            "continuation_tokens": continuation,
        }
    )
