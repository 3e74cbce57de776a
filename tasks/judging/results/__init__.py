"""What was measured: frozen records that survive a JSON round trip, with every sample that gates read."""

from tasks.judging.results.accuracy import (
    AccuracyResult,
    Departure,
    End,
    Excerpt,
    LengthSample,
    RegretSample,
    TokenizerCheck,
)
from tasks.judging.results.baseline import LoadResult
from tasks.judging.results.load import LoadPoint, LoadSummary, RequestRecord, RoundResult
from tasks.judging.results.measurement import Conditions, IdleCheck, Measured
from tasks.judging.results.open_loop import (
    OpenLoopResult,
    OpenLoopSide,
    OpenLoopSummary,
    Settled,
    Stretch,
)
from tasks.judging.results.opinions import NoOpinion, Opinion, SecondOpinion, SpeedOpinion
from tasks.judging.results.quantities import BoundedQuantiles, Bounds, Interval, Metric, Quantiles
from tasks.judging.results.speed import (
    BlockCost,
    Ended,
    Gain,
    GainOf,
    LeftOut,
    NotMeasured,
    SpeedPoint,
    SpeedResult,
    SweepPoint,
)
from tasks.judging.results.task_scores import TaskAnswer, TaskResult, TaskSample
from tasks.judging.results.timed_answers import TimedAnswers, TimedCount, TimedSample

__all__ = [
    "AccuracyResult",
    "BlockCost",
    "BoundedQuantiles",
    "Bounds",
    "Conditions",
    "Departure",
    "End",
    "Ended",
    "Excerpt",
    "Gain",
    "GainOf",
    "IdleCheck",
    "Interval",
    "LeftOut",
    "LengthSample",
    "LoadPoint",
    "LoadResult",
    "LoadSummary",
    "Measured",
    "Metric",
    "NoOpinion",
    "NotMeasured",
    "OpenLoopResult",
    "OpenLoopSide",
    "OpenLoopSummary",
    "Opinion",
    "Quantiles",
    "RegretSample",
    "RequestRecord",
    "RoundResult",
    "SecondOpinion",
    "Settled",
    "SpeedOpinion",
    "SpeedPoint",
    "SpeedResult",
    "Stretch",
    "SweepPoint",
    "TaskAnswer",
    "TaskResult",
    "TaskSample",
    "TimedAnswers",
    "TimedCount",
    "TimedSample",
    "TokenizerCheck",
]
