"""The gate `task scores`: whether the engine answers questions with known answers little worse than vLLM.

Regret looks at every token; a task looks at what the tokens are for. Both sides answer the same questions, so
only questions that they answer differently count.

Invariants:
- Each task has a bound of its own confidence, and all have to pass: that needs no share of the error (R. L.
  Berger, Technometrics 24, 1982, intersection-union tests). To fail, one is enough, so all tasks share that
  error equally.
- A spec without tasks does not ask this gate.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.spec import Task
from tasks.judging.gates.figures import Figure, Shown, Tile, Use, interval_figure, use_of_most
from tasks.judging.gates.gate import UNASKED, Evidence, Gate, SampledOutcome, Tested, tested, undecided
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import Interval, NoOpinion, SecondOpinion, TaskResult
from tasks.judging.statistics import mcnemar_p, paired_loss_interval, pairs_to_pass

SEVERITY: tuple[Tested, ...] = ("fail", "underpowered", "pass")


class TaskScore(Frozen):
    """The scores of both sides on one task."""

    task: str = Field(description="Name of the task.")
    outcome: Literal["pass", "fail", "underpowered"]
    engine: float = Field(ge=0, le=1, description="Share of the questions that the engine answers right.")
    reference: float = Field(ge=0, le=1, description="The same of the reference.")
    loss: Interval = Field(description="Reference - engine, over questions.")
    lost: int = Field(ge=0, description="Questions that only the reference answers right.")
    gained: int = Field(ge=0, description="Questions that only the engine answers right.")
    mcnemar_p: float = Field(ge=0, le=1, description="Of McNemar's exact test; decides nothing.")
    samples: int = Field(ge=1, description="Number of questions.")
    samples_needed: int = Field(
        description="Questions with which an engine at half the loss passes with 80 % power."
    )


class TaskScoresOutcome(SampledOutcome):
    """All tasks; samples are those of the task that decided."""

    tasks: tuple[TaskScore, ...] = Field(min_length=1, description="In the order of the spec.")


class TaskScoresGate(Gate[TaskScoresOutcome]):
    """The gate; see the module."""

    name = "task scores"
    asks = "answers"
    section = "Accuracy"
    conditions = (Condition("task scores", ("pass", "fail", "underpowered", UNASKED)),)
    outcome_type = TaskScoresOutcome
    of_references = True
    rules = (
        Rule(
            "task-scores-fail",
            {"task scores": ("fail",)},
            "rejected",
            "the engine was shown to answer questions worse than it may",
        ),
        Rule(
            "task-scores-underpowered",
            {"task scores": ("underpowered",)},
            "inconclusive",
            "it was not shown whether the engine answers questions worse than it may",
        ),
    )

    def asked_by(self, protocol: JudgingProtocol) -> bool:
        """Whether the spec declares tasks."""
        return bool(protocol.tasks)

    def judge(self, evidence: Evidence) -> TaskScoresOutcome:
        """Judge whether the upper bound of every loss is within the declared one."""
        tasks = tuple(plan.task for plan in evidence.protocol.tasks)
        return judge_tasks(evidence.accuracy.tasks, tasks)

    def show(self, outcome: TaskScoresOutcome, evidence: Evidence) -> Shown:
        """Show both scores and the loss of every task."""
        limits = {plan.task.name: plan.task.max_loss for plan in evidence.protocol.tasks}
        opinions = (figure for result in evidence.accuracy.tasks for figure in _opinion(result))
        return Shown(
            (*(one for score in outcome.tasks for one in _figures(score, limits[score.task])), *opinions),
            tuple(
                _tile(score, limits[score.task], result.second_opinion)
                for score, result in zip(outcome.tasks, evidence.accuracy.tasks, strict=True)
            ),
        )


def judge_tasks(results: Sequence[TaskResult], tasks: Sequence[Task]) -> TaskScoresOutcome:
    """Judge all tasks; the most serious outcome, of the first task that has it, is that of all."""
    scores = tuple(
        score_task(result, task, of=len(tasks)) for result, task in zip(results, tasks, strict=True)
    )
    decisive = min(scores, key=lambda score: SEVERITY.index(score.outcome))
    limits = {task.name: task.max_loss for task in tasks}
    ordered = sorted(scores, key=lambda score: SEVERITY.index(score.outcome))
    return TaskScoresOutcome(
        outcome=decisive.outcome,
        reason=" ".join(_reason(score, limits[score.task]) for score in ordered),
        tasks=scores,
        samples=decisive.samples,
        samples_needed=decisive.samples_needed,
    )


def score_task(result: TaskResult, task: Task, *, of: int = 1) -> TaskScore:
    """Return the scores on one task, of so many tasks that share the error of failing."""
    pairs, count = result.pairs, len(result.pairs)
    return TaskScore(
        task=task.name,
        outcome=loss_outcome(pairs, task.max_loss, task.confidence, of=of),
        engine=sum(engine for engine, _ in pairs) / count,
        reference=sum(reference for _, reference in pairs) / count,
        loss=paired_loss_interval(pairs, task.confidence),
        lost=sum(reference and not engine for engine, reference in pairs),
        gained=sum(engine and not reference for engine, reference in pairs),
        mcnemar_p=mcnemar_p(pairs),
        samples=count,
        samples_needed=pairs_to_pass(pairs, task.max_loss, task.confidence),
    )


def loss_outcome(
    pairs: Sequence[tuple[bool, bool]], max_loss: float, confidence: float, *, of: int = 1
) -> Tested:
    """Return what the answers of engine and reference show of a loss that may be as large as the limit."""
    outcome = tested(paired_loss_interval(pairs, confidence), max_loss)
    if outcome != "fail" or of == 1:
        return outcome
    shared = 1 - (1 - confidence) / of
    return tested(paired_loss_interval(pairs, shared), max_loss)


def _reason(score: TaskScore, max_loss: float) -> str:
    ends = {
        "pass": "the upper bound is within it.",
        "fail": "even the lower bound is beyond it.",
        "underpowered": undecided(score.samples, score.samples_needed).replace("texts", "questions"),
    }
    loss = score.loss
    return (
        f"Of {score.samples} questions of {score.task}, the engine answers {score.engine:.2%} right and vLLM "
        f"{score.reference:.2%}; {score.lost} are right only by vLLM, {score.gained} only by the engine. The "
        f"loss is {_points(loss.estimate)} points, at {loss.confidence:.0%} confidence below "
        f"{_points(loss.upper)} and above {_points(loss.lower)}; {100 * max_loss:g} are allowed: "
        f"{ends[score.outcome]}"
    )


def _figures(score: TaskScore, max_loss: float) -> Iterator[Figure]:
    loss = score.loss
    points = Interval(
        estimate=100 * loss.estimate,
        lower=100 * loss.lower,
        upper=100 * loss.upper,
        confidence=loss.confidence,
    )
    use = use_of_most(points, 100 * max_loss)
    yield interval_figure(
        f"task {score.task}: loss",
        "points",
        points,
        "{:+.2f}",
        limit=f"upper ≤ {100 * max_loss:g}",
        # A gain uses nothing of the limit.
        use=Use(*(max(0.0, one) for one in (use.estimate, use.lower, use.upper))),
    )
    yield Figure(
        f"task {score.task}: right answers",
        "%",
        f"{100 * score.engine:.2f}",
        reference=f"{100 * score.reference:.2f}",
        decisive=False,
    )


def _opinion(result: TaskResult) -> Iterator[Figure]:
    found = result.second_opinion
    if isinstance(found, SecondOpinion):
        yield Figure(
            f"task {result.task}: right answers by {found.tool}",
            "%",
            f"{100 * found.engine:.2f}",
            reference=f"{100 * found.reference:.2f}",
            decisive=False,
        )


def _tile(score: TaskScore, max_loss: float, opinion: SecondOpinion | NoOpinion | None) -> Tile:
    note = (
        f"vLLM {100 * score.reference:.1f} %; loss below {_points(score.loss.upper)} points, "
        f"{100 * max_loss:g} allowed; {score.samples} questions, McNemar p {score.mcnemar_p:.2g}"
    )
    if isinstance(opinion, NoOpinion):
        note += f"; no second opinion: {opinion.text()}"
    elif opinion is not None:
        note += f"; {opinion.tool} finds {100 * opinion.engine:.1f} %, vLLM {100 * opinion.reference:.1f} %"
    return Tile(f"Task {score.task}", f"{100 * score.engine:.1f}", "% right", note, leads=True)


def _points(share: float) -> str:
    return f"{100 * share:.2f}"
