"""What accuracy is asked: requests like the workload's, and some as long as the engine's shape allows."""

from pathlib import Path
from typing import Any

import pytest
from support.paths import E2E_SPEC

from engine_specs.spec import Spec, load_spec, read_spec, resolve_variants
from tasks.comparison.questions import MOST_IN_FLIGHT, MOST_TO_THE_END, accuracy_plan
from tasks.judging import AccuracyPlan

TEXT = E2E_SPEC.read_text()
SHAPE = "max_input_len: 64, max_seq_len: 96"


def spec_with(
    *, prompt: int = 32, answer: int = 16, shape: str = SHAPE, concurrency: str = "[1]", **accuracy: Any
) -> Spec:
    text = TEXT.replace("input_tokens: 32", f"input_tokens: {prompt}")
    text = text.replace("output_tokens: 16", f"output_tokens: {answer}")
    text = text.replace("concurrency: [1]", f"concurrency: {concurrency}").replace(SHAPE, shape)
    spec = read_spec(text, Path("e2e.yaml"))
    gate = spec.validation.accuracy.model_copy(update=accuracy)
    return spec.model_copy(update={"validation": spec.validation.model_copy(update={"accuracy": gate})})


def plan_of(spec: Spec) -> AccuracyPlan:
    return accuracy_plan(spec, resolve_variants(spec)[0].shape, (0,), "d" * 64)


def groups(spec: Spec) -> dict[str, tuple[int, int, int, int]]:
    """Texts, shortest and longest context, and tokens of the continuation, by name of the group."""
    return {
        one.name: (one.texts, one.min_context_tokens, one.max_context_tokens, one.continuation_tokens)
        for one in plan_of(spec).windows
    }


def test_the_demo_is_asked_the_workloads_requests_and_some_as_long_as_its_shape_allows() -> None:
    assert groups(load_spec("demo")) == {
        "answers": (502, 16, 96, 32),
        "long": (64, 97, 192, 32),
        "to-the-end": (64, 192, 192, 63),
    }


def test_a_reasoning_model_writes_whole_answers_to_as_many_texts_as_lengths_are_compared_of() -> None:
    assert groups(load_spec("qwen3-8b")) == {
        "answers": (400, 16, 512, 1024),
        "starts": (3472, 16, 512, 64),
        "long": (64, 513, 4096, 64),
        "to-the-end": (64, 4096, 4096, 12287),
    }
    plan = plan_of(load_spec("qwen3-8b"))
    assert plan.request_limit_s > 300
    assert (plan.length_texts, plan.length_max_tokens) == (400, 1024)


@pytest.mark.parametrize("name", ["demo", "llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "qwen3-8b"])
def test_every_text_is_asked_and_the_whole_shape_is_checked(name: str) -> None:
    spec = load_spec(name)
    plan = plan_of(spec)
    assert sum(group.texts for group in plan.windows) == spec.validation.accuracy.samples
    longest = max(group.max_context_tokens + group.continuation_tokens for group in plan.windows)
    assert longest == plan.context_limit - 1, "the reference generates one token while it scores"


def test_a_shape_without_room_for_longer_contexts_has_none() -> None:
    assert groups(spec_with()) == {"answers": (136, 16, 64, 16), "to-the-end": (64, 64, 64, 31)}
    tight = "max_input_len: 32, max_seq_len: 49"
    assert groups(spec_with(shape=tight)) == {"answers": (200, 16, 32, 16)}


def test_few_texts_are_shared() -> None:
    found = groups(spec_with(samples=31, shape="max_input_len: 128, max_seq_len: 256"))
    assert {name: texts for name, (texts, *_) in found.items()} == {
        "answers": 11,
        "long": 10,
        "to-the-end": 10,
    }
    assert list(groups(spec_with(samples=2))) == ["answers"]


def test_answers_to_the_end_of_a_very_long_shape_are_bounded() -> None:
    found = groups(spec_with(shape="max_input_len: 64, max_seq_len: 131072"))
    assert found["to-the-end"] == (64, 64, 64, MOST_TO_THE_END)


@pytest.mark.parametrize(("prompt", "context"), [(32, 96), (128, 128)])
def test_contexts_are_as_long_as_prompts_and_never_very_short(prompt: int, context: int) -> None:
    spec = spec_with(prompt=prompt, shape="max_input_len: 128, max_seq_len: 300")
    assert groups(spec)["answers"][2] == context


def test_contexts_as_long_as_prompts_are_not_shortened_for_long_answers() -> None:
    shape = "max_input_len: 96, max_seq_len: 250"
    assert groups(spec_with(answer=200, shape=shape))["answers"] == (136, 16, 49, 200)
    assert groups(spec_with(answer=218, shape=shape))["answers"] == (136, 16, 32, 217)


@pytest.mark.parametrize(
    ("rows", "in_flight"), [(1, (1, 2)), (2, (1, 2, 4)), (4, (1, 2, 8)), (4096, (1, 2, MOST_IN_FLIGHT))]
)
def test_texts_are_asked_with_more_in_flight_than_the_engine_computes_at_once(
    rows: int, in_flight: tuple[int, ...]
) -> None:
    """In open loop and in use as many meet, whatever a workload declares: other code may run for them."""
    spec = spec_with(concurrency="[1, 2]")
    shape = resolve_variants(spec)[0].shape.model_copy(update={"max_batch_size": rows})
    plan = accuracy_plan(spec, shape, (0,), "d" * 64)
    assert plan.in_flight == in_flight
    assert [plan.in_flight_of(group) for group in plan.windows] == [in_flight, in_flight[-1:]]


def test_all_rows_of_the_demo_are_judged_and_prompts_wait() -> None:
    assert plan_of(load_spec("demo")).in_flight == (1, 2, 8)


@pytest.mark.parametrize(("answer", "seq_len", "limit"), [(16, 300, 64), (200, 300, 200), (200, 210, 178)])
def test_lengths_are_compared_up_to_those_of_the_workload_as_far_as_the_shape_allows(
    answer: int, seq_len: int, limit: int
) -> None:
    shape = f"max_input_len: 96, max_seq_len: {seq_len}"
    assert plan_of(spec_with(prompt=10, answer=answer, shape=shape)).length_max_tokens >= limit - 1


@pytest.mark.parametrize(("seq_len", "texts"), [(256, 200), (192, 200), (180, 72)])
def test_lengths_are_compared_of_contexts_that_leave_room_for_an_answer(seq_len: int, texts: int) -> None:
    shape = f"max_input_len: 128, max_seq_len: {seq_len}"
    assert plan_of(spec_with(length_samples=400, shape=shape)).length_texts == texts
    assert plan_of(spec_with(length_samples=50)).length_texts == 50


def test_answers_end_at_the_checkpoints_end_tokens_and_at_those_that_are_declared() -> None:
    declared = spec_with().validation.accuracy.stop_token_ids
    assert declared
    assert plan_of(spec_with()).end_tokens == (0, *declared)


@pytest.mark.parametrize(
    ("shape", "context"),
    [("max_input_len: 32, max_seq_len: 48", 31), ("max_input_len: 40, max_seq_len: 49", 32)],
)
def test_contexts_and_continuations_fit_the_engine_and_leave_the_reference_a_token(
    shape: str, context: int
) -> None:
    plan = plan_of(spec_with(shape=shape))
    seq_len = int(shape.rsplit(maxsplit=1)[1])
    assert plan.windows[0].max_context_tokens == context
    for group in plan.windows:
        assert group.max_context_tokens + group.continuation_tokens + 1 <= seq_len
    assert plan.windows[0].max_context_tokens + plan.length_max_tokens <= seq_len
    assert plan.round_trip_tokens + 12 <= seq_len
