"""Tasks over HTTP against stand-ins: how options are scored, and damage that only tasks see."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from support.judging.fake_completions import Behaviour, FakeServer, fake_server
from support.judging.judgements import endpoint, resident
from support.judging.measured_fakes import TEXTS, ignore
from support.judging.tasks import OPTIONS, asking, choices, choosing, number_in, sums, text_of, writing

from engine_specs.spec import Task
from tasks.errors import ServerBroke, TextsInvalid
from tasks.hub import TaskItem
from tasks.judging import AccuracyResult, JudgingProtocol
from tasks.judging.decide import rejecting
from tasks.judging.gates.answers.regret import judge_regret
from tasks.judging.gates.answers.task_scores import judge_tasks
from tasks.judging.measure.accuracy import AccuracyPhases


def likes(option_of: Callable[[int], int]) -> Callable[[Sequence[int], int], float]:
    """A model that finds one option of each question likely, and every letter of the others less."""

    def logprob_of(prompt: Sequence[int], token: int) -> float:
        whole = text_of((*prompt, token))
        liked = OPTIONS[option_of(number_in(prompt))]
        return -1.5 if f" {liked}".startswith(whole.partition(":")[2]) else -4.0

    return logprob_of


def knows(number: int) -> int:
    return number % 3


def answered(
    engine: Behaviour, reference: Behaviour, asked: JudgingProtocol, items: Mapping[str, Sequence[TaskItem]]
) -> tuple[AccuracyResult, FakeServer]:
    with fake_server(engine) as ours, fake_server(reference) as theirs:
        side = endpoint("engine", ours.base_url, engine.speaks)
        placement = resident([side, endpoint("vllm", theirs.base_url)])
        phases = AccuracyPhases(placement, asked, say=ignore)
        questions = phases.questions(TEXTS, items)
        (result,) = phases.scores(questions, [phases.answers(side.side, questions)]).results
        return result, ours


def test_options_are_scored_by_the_sum_of_their_tokens_and_the_likeliest_one_is_the_answer() -> None:
    knowing = Behaviour(logprob_of=likes(knows))
    result, engine = answered(knowing, knowing, asking(choosing()), {"fruit": choices()})
    (task,) = result.tasks
    assert task.pairs == ((True, True),) * 60
    first = task.samples[0].engine
    # " apple": the model likes it. " bread" begins as likely with its space, " apricot" with " ap".
    assert first.logprobs == pytest.approx((-9.0, -1.5 - 5 * 4.0, -3 * 1.5 - 5 * 4.0))
    asked = [one for one in engine.requests if one.get("logit_bias")]
    assert {(one["max_tokens"], *one["logit_bias"].values()) for one in asked} == {(1, 100)}
    of_first = [one for one in asked if text_of(one["prompt"]).startswith("Question 0:")]
    # 20 tokens, of which " ap" is common to two options, and " " to all.
    assert len(of_first) == 1 + 2 + 3 + 5 + 5


@pytest.mark.parametrize(
    ("normalization", "chosen"), [("none", {"apple"}), ("bytes", {"apricot"})], ids=["none", "bytes"]
)
def test_length_counts_as_declared(normalization: str, chosen: set[str]) -> None:
    indifferent = Behaviour(logprob_of=lambda prompt, token: -2.0)
    asked = asking(choosing(length_normalization=normalization, option_prefix=" "))
    result, _ = answered(indifferent, indifferent, asked, {"fruit": choices(6)})
    # All tokens are as likely: the shortest options tie, and the first of them counts. Per byte, the space in
    # front of an option weighs least on the longest one.
    assert {OPTIONS[one.engine.chosen or 0] for one in result.tasks[0].samples} == chosen


def test_damage_that_regret_does_not_see_is_found_by_a_task() -> None:
    """The engine continues texts as the reference does, but chooses wrongly among options it has to read."""
    reference = Behaviour(logprob_of=likes(knows))
    damaged = Behaviour(logprob_of=likes(lambda number: (number + (number % 2)) % 3))
    asked = asking(choosing())
    result, _ = answered(damaged, reference, asked, {"fruit": choices()})
    assert judge_regret(result.samples, asked.accuracy).outcome == "pass"
    outcome = judge_tasks(result.tasks, [choosing()])
    assert (outcome.outcome, outcome.tasks[0].lost, outcome.tasks[0].gained) == ("fail", 30, 0)
    assert rejecting(result, asked) == ("task scores",)


def adds(off_by: int) -> Callable[[Sequence[int]], str | None]:
    """A model that writes sums, and then goes on with something else."""

    def writes(prompt: Sequence[int]) -> str | None:
        given, plus, _ = text_of(prompt).partition(" + 1 =")
        return f" {int(given) + 1 + off_by}\n" if plus else None

    return writes


@pytest.mark.parametrize("speaks", ["vllm", "trtllm-serve-1.4"])
def test_generated_answers_are_compared_up_to_their_stop(speaks: str) -> None:
    right, wrong = Behaviour(writes=adds(0)), Behaviour(writes=adds(1))
    task = writing(stop=("\n",))
    result, engine = answered(
        replace(right, speaks=speaks),  # type: ignore[arg-type]
        wrong,
        asking(task, end_tokens=(1,)),
        {"sums": sums()},
    )
    assert result.tasks[0].pairs == ((True, False),) * 60
    assert {one.engine.text for one in result.tasks[0].samples[:2]} == {" 1", " 2"}
    prompts = [one for one in engine.requests if not isinstance(one["prompt"], str)]
    (asked,) = [one for one in prompts if text_of(one["prompt"]).startswith("59 + 1")]
    assert (asked["max_tokens"], asked["stop"], asked["stop_token_ids"]) == (8, ["\n"], [1])


def test_a_chat_is_asked_through_the_template_of_the_reference() -> None:
    knowing = Behaviour(logprob_of=likes(knows))
    asked = asking(choosing(chat=True, option_prefix=""))
    _, engine = answered(knowing, knowing, asked, {"fruit": choices(3)})
    prompts = {text_of(one["prompt"]) for one in engine.requests if one.get("logit_bias")}
    assert "<user>Question 0:<assistant>" in prompts
    assert "<user>Question 0:<assistant>appl" in prompts


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Behaviour(counts_bias_in=True), "probabilities of 2.997 in all, so the bias is counted in"),
        (Behaviour(obeys_bias=False), "was forced, but another one was generated"),
        (Behaviour(logprob_of=lambda prompt, token: float("nan")), "no log-probability of token"),
        (Behaviour(logprob_of=lambda prompt, token: 0.5), "no log-probability of token"),
    ],
)
def test_scores_that_are_none_are_an_error(broken: Behaviour, message: str) -> None:
    items = [one.model_copy(update={"options": ("x", "y", "z")}) for one in choices(3)]
    with pytest.raises(ServerBroke, match=message) as refused:
        answered(broken, Behaviour(), asking(choosing(option_prefix="")), {"fruit": items})
    assert "form: exact-match" in refused.value.fix


@pytest.mark.parametrize("task", [choosing(), writing()])
def test_a_question_that_the_engine_cannot_take_is_refused_before_it_is_asked(task: Task) -> None:
    items = {"fruit": choices(3), "sums": sums(3)}
    with pytest.raises(TextsInvalid, match=r"question 0 takes \d+ tokens, \d+ with its answer"):
        answered(Behaviour(), Behaviour(), asking(task, max_prompt_tokens=9, max_tokens=10), items)
