"""The whole measurement of one side's accuracy, for tests that need no other side."""

from collections.abc import Sequence

from artifacts.progress import Say
from tasks.judging import AccuracyResult, JudgingProtocol, Placement, Side
from tasks.judging.measure.accuracy import AccuracyPhases


def measure_accuracy(
    placement: Placement, side: Side, texts: Sequence[str], protocol: JudgingProtocol, *, say: Say
) -> AccuracyResult:
    """Run all phases for one side, against the protocol's first reference."""
    phases = AccuracyPhases(placement, protocol, say=say)
    questions = phases.questions(texts)
    (result,) = phases.scores(questions, [phases.answers(side, questions)]).results
    return result
