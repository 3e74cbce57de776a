"""Judging one engine against vLLM: measurements over HTTP, and pure decisions from what was measured.

The modules here hold the records that all folders share: what is asked (`protocol`), of whom (`endpoint`),
and the answers (`results`, `judgement`), under which `conditions`. `placement` decides which sides run, and
when. `judge` holds the
functions that the pipeline calls. Folders:

- `measure` asks running servers and returns frozen results; it decides nothing.
- `gates` holds what an engine has to pass, one file per gate; `decide` turns their outcomes into a verdict.
  Neither uses the network.
- `statistics` computes the intervals; `report` shows all of it.
- `selftest` simulates how often the judge is wrong.

Invariants:
- Every gate compares an interval, never a point, and says in a sentence which numbers decided it.
- Importing this folder is cheap: it hands on records only, and loads none of the libraries that measure,
  calculate or draw. `judge` loads them, so code that measures imports that module itself.
"""

from tasks.judging.conditions import HostLoad, PlacementChoice, RanWith, SideMemory, Start
from tasks.judging.endpoint import Endpoint, Role, Side
from tasks.judging.judgement import JudgedResult, StageRecord, Subject, evidence_of
from tasks.judging.placement import Observer, Placement, Resident, Unobserved
from tasks.judging.protocol import (
    ROUND_TRIP_ANSWER_TOKENS,
    WAY_OF_JUDGING,
    AccuracyPlan,
    JudgingProtocol,
    LoadPlan,
    RoundPlan,
    SpeedPlan,
    TaskPlan,
    WindowGroup,
)
from tasks.judging.results import (
    AccuracyResult,
    Conditions,
    IdleCheck,
    Interval,
    LoadResult,
    Measured,
    NoOpinion,
    NotMeasured,
    Opinion,
    SpeedOpinion,
    SpeedPoint,
    SpeedResult,
)
from tasks.judging.vocabulary import Vocabulary, end_tokens, vocabulary_of

__all__ = [
    "ROUND_TRIP_ANSWER_TOKENS",
    "WAY_OF_JUDGING",
    "AccuracyPlan",
    "AccuracyResult",
    "Conditions",
    "Endpoint",
    "HostLoad",
    "IdleCheck",
    "Interval",
    "JudgedResult",
    "JudgingProtocol",
    "LoadPlan",
    "LoadResult",
    "Measured",
    "NoOpinion",
    "NotMeasured",
    "Observer",
    "Opinion",
    "Placement",
    "PlacementChoice",
    "RanWith",
    "Resident",
    "Role",
    "RoundPlan",
    "Side",
    "SideMemory",
    "SpeedOpinion",
    "SpeedPlan",
    "SpeedPoint",
    "SpeedResult",
    "StageRecord",
    "Start",
    "Subject",
    "TaskPlan",
    "Unobserved",
    "Vocabulary",
    "WindowGroup",
    "end_tokens",
    "evidence_of",
    "vocabulary_of",
]
