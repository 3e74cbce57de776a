"""The questions of tasks as token ids, by the tokenizer and the chat template of the reference."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import takewhile

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.errors import TextsInvalid
from tasks.hub import TaskItem
from tasks.judging.measure.completions import CompletionsClient, map_bounded
from tasks.judging.measure.prompts import Prompt
from tasks.judging.protocol import TaskPlan


class Question(Frozen):
    """One question, as every side is asked."""

    item: TaskItem
    prompt: Prompt = Field(min_length=1, description="Ids that all options begin with.")
    options: tuple[Prompt, ...] = Field(description="The other ids of each option; empty if there are none.")


class TaskQuestions(Frozen):
    """The questions of one task."""

    task: str = Field(description="Name of the task.")
    questions: tuple[Question, ...]


async def prepare_tasks(
    reference: CompletionsClient, items: Mapping[str, Sequence[TaskItem]], plans: Sequence[TaskPlan]
) -> tuple[TaskQuestions, ...]:
    """Let the reference, which must be a vLLM server, read the questions of all tasks.

    Raises:
        TextsInvalid: a question does not fit the engine.
        ServerBroke, ServerRefusedRequest: the reference failed, or its checkpoint has no chat template.
    """
    return tuple([await _prepare(reference, items[plan.task.name], plan) for plan in plans])


async def _prepare(reference: CompletionsClient, items: Sequence[TaskItem], plan: TaskPlan) -> TaskQuestions:
    read = await map_bounded(partial(_read, reference, plan=plan), items, parallel=plan.in_flight)
    for question in read:
        _require_fit(question, plan)
    return TaskQuestions(task=plan.task.name, questions=tuple(read))


async def _read(reference: CompletionsClient, item: TaskItem, *, plan: TaskPlan) -> Question:
    task = plan.task
    if task.chat:
        prompt = await reference.tokenize_chat(item.prompt)
        # The template has ended the user's turn, so no token can reach across into the answer.
        wholes = [
            [*prompt, *await reference.tokenize(task.option_prefix + option, special_tokens=False)]
            for option in item.options
        ]
    else:
        prompt = await reference.tokenize(item.prompt)
        wholes = [
            await reference.tokenize(item.prompt + task.option_prefix + option) for option in item.options
        ]
    return split(item, prompt, wholes)


def split(item: TaskItem, prompt: Sequence[int], wholes: Sequence[Sequence[int]]) -> Question:
    """Divide the ids of prompt and option into what all have in common, and the rest of each.

    An option may change the last tokens of the prompt, and these count for it then. At least the last id of
    each option is its own.
    """
    aligned = zip(prompt, *(whole[:-1] for whole in wholes), strict=False)
    common = sum(1 for _ in takewhile(lambda ids: len(set(ids)) == 1, aligned))
    options = tuple(tuple(whole[common:]) for whole in wholes)
    return Question(item=item, prompt=tuple(prompt[:common] if wholes else prompt), options=options)


def _require_fit(question: Question, plan: TaskPlan) -> None:
    own = max((len(option) for option in question.options), default=0)
    prompt = len(question.prompt) + max(own - 1, 0)
    whole = len(question.prompt) + max(own, plan.task.max_tokens or 0)
    if prompt > plan.max_prompt_tokens or whole > plan.max_tokens:
        raise TextsInvalid(
            f"question {question.item.id} takes {prompt} tokens, {whole} with its answer; the engine takes "
            f"{plan.max_prompt_tokens} and {plan.max_tokens}",
            where=f"validation.tasks: {plan.task.name}",
            fix="choose shorter questions, declare fewer max_tokens, or build with a larger shape "
            "(max_input_len, max_seq_len)",
        )
