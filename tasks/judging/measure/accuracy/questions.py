"""What every side is asked: the held-out texts as the reference tokenizes and continues them."""

from collections.abc import Mapping, Sequence
from functools import partial

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.errors import ServerBroke
from tasks.hub import TaskItem
from tasks.judging.measure.accuracy.round_trips import RoundTrip, round_trips_of
from tasks.judging.measure.accuracy.task_scores import (
    TaskAnswers,
    TaskQuestions,
    answer_tasks,
    prepare_tasks,
)
from tasks.judging.measure.accuracy.windows import SEPARATOR, Window, sample_windows
from tasks.judging.measure.completions import CompletionsClient, generated_ids, map_bounded
from tasks.judging.measure.prompts import Prompt, PromptText
from tasks.judging.protocol import AccuracyPlan, JudgingProtocol


class Questions(Frozen):
    """Token ids to continue and texts to read, with the reference's own continuations and token ids."""

    windows: tuple[Window, ...] = Field(description="Windows of the texts, to be continued and scored.")
    continuations: tuple[tuple[int, ...], ...] = Field(
        description="The reference's greedy continuations of the first windows, each to its own end."
    )
    round_trips: tuple[RoundTrip, ...] = Field(description="Texts that check the tokenizer.")
    text: PromptText = Field(description="The texts as ids, of which prompts of timed rounds are windows.")
    tasks: tuple[TaskQuestions, ...] = Field(default=(), description="The questions of each task.")
    task_answers: tuple[TaskAnswers, ...] = Field(
        default=(), description="The reference's answers to these questions."
    )


async def prepare_questions(
    reference: CompletionsClient,
    texts: Sequence[str],
    protocol: JudgingProtocol,
    items: Mapping[str, Sequence[TaskItem]],
) -> Questions:
    """Let the reference, which must be a vLLM server, read the texts.

    Raises:
        TooLittleText: the texts do not hold the declared samples.
        TextsInvalid: a question of a task does not fit the engine.
        ServerBroke: the reference failed, or answers with no tokens.
    """
    plan = protocol.accuracy
    windows = await _windows(reference, texts, plan, protocol.seed)
    first = windows[: plan.length_texts]
    tasks = await prepare_tasks(reference, items, protocol.tasks)
    return Questions(
        windows=tuple(windows),
        continuations=tuple(await _own_continuations(reference, first, plan)),
        round_trips=tuple(await round_trips_of(reference, texts, protocol)),
        text=await read_prompt_text(reference, texts, parallel=max(plan.in_flight)),
        tasks=tasks,
        task_answers=await answer_tasks(reference, tasks, protocol.tasks),
    )


async def read_prompt_text(
    reference: CompletionsClient, texts: Sequence[str], *, parallel: int
) -> PromptText:
    """Return the texts as ids by the reference's tokenizer."""
    tokenize = partial(reference.tokenize, special_tokens=False)
    ids = await map_bounded(tokenize, texts, parallel=parallel)
    lead = await _lead(reference, texts[0])
    return PromptText(lead=lead, ids=tuple(token for one in ids for token in one))


async def to_its_end(client: CompletionsClient, window: Window, plan: AccuracyPlan) -> tuple[int, ...]:
    """Return the greedy continuation of a window, to the end that the side's model chooses."""
    ends = list(plan.end_tokens)
    answer = await client.complete(window.prompt, plan.length_max_tokens, stop_token_ids=ends)
    return tuple(generated_ids(answer, client.endpoint))


async def _windows(
    reference: CompletionsClient, texts: Sequence[str], plan: AccuracyPlan, seed: int
) -> list[Window]:
    """Return one window per text; the first ones are used for lengths as well as regret."""

    async def plain_ids(text: str) -> Prompt:
        return tuple(await reference.tokenize(text, special_tokens=False))

    lead, separator = await _lead(reference, texts[0]), await plain_ids(SEPARATOR)
    ids = await map_bounded(plain_ids, texts, parallel=max(plan.in_flight))
    return sample_windows(ids, lead, separator, plan, seed=seed)


async def _lead(reference: CompletionsClient, text: str) -> Prompt:
    """Return what the tokenizer puts in front of a text: its ids with special tokens, minus those without."""
    full = await reference.tokenize(text)
    plain = await reference.tokenize(text, special_tokens=False)
    added = len(full) - len(plain)
    return tuple(full[:added]) if added > 0 and full[added:] == plain else ()


async def _own_continuations(
    reference: CompletionsClient, windows: Sequence[Window], plan: AccuracyPlan
) -> list[tuple[int, ...]]:
    async def own(window: Window) -> tuple[int, ...]:
        tokens = await to_its_end(reference, window, plan)
        if not tokens:
            raise ServerBroke(
                f"the reference continued text {window.sample_id} with no token at all",
                where=f"{reference.endpoint.base_url} ({reference.endpoint.side.name})",
                fix="the reference must be a vLLM server, which counts the token that ends an answer",
            )
        return tokens

    return await map_bounded(own, windows, parallel=max(plan.in_flight))
