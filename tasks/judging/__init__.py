"""Judging one engine against vLLM: measuring over HTTP, and decisions that are pure functions of what was
measured.

What is asked (`protocol`), of whom (`endpoint`), and what came out (`results`, `judgement`) are records of
their own. `judge` holds the calls that the pipeline makes. Rooms:

- `measure` asks running servers and returns frozen results; it decides nothing.
- `gates` holds what an engine has to clear, one file per gate; `decide` turns their outcomes into a verdict.
  Neither touches the network.
- `statistics` computes the intervals; `report` shows all of it.

Invariants:
- Every gate compares an interval, never a point, and says in a sentence which numbers decided it.
- Importing this folder is cheap: it hands on records alone, and none of the libraries that measure, calculate
  or draw.
"""

from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.protocol import AccuracyPlan, JudgingProtocol, RoundPlan, SpeedPlan
from tasks.judging.vocabulary import Vocabulary, end_tokens, vocabulary_of

__all__ = [
    "AccuracyPlan",
    "Endpoint",
    "JudgingProtocol",
    "RoundPlan",
    "Side",
    "SpeedPlan",
    "Vocabulary",
    "end_tokens",
    "vocabulary_of",
]
