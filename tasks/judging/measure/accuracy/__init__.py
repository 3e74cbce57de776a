"""Accuracy: the answers of a side, and how likely the reference finds them. Nothing is decided here.

There are three phases, none of which needs two sides at the same time:

1. `questions`: the reference tokenizes the held-out texts, so that all sides are asked with the same token
   ids, and continues some of them itself. `windows` are the starts of texts, and of texts joined to contexts
   as long as the shape allows.
2. `answers`: a side continues every window greedily, streamed like timed requests, with answers as long as
   the workload's, some as long as the shape allows, and as many requests in flight. Its answers are kept.
3. `scores`: the reference reads context and continuation as one prompt. vLLM's extension `prompt_logprobs`
   says for every token of the continuation how likely it is after the tokens before it, and which token the
   reference would have chosen. The regret of a token is the difference. The tokens before it are the side's
   own continuation: a side that chose another good word once is not penalized for everything that follows.
"""

from tasks.judging.measure.accuracy.answers import Answers
from tasks.judging.measure.accuracy.departures import read_departures
from tasks.judging.measure.accuracy.phases import AccuracyPhases, Scores
from tasks.judging.measure.accuracy.questions import Questions, read_prompt_text
from tasks.judging.measure.accuracy.task_scores import Opine, with_opinions

__all__ = [
    "AccuracyPhases",
    "Answers",
    "Opine",
    "Questions",
    "Scores",
    "read_departures",
    "read_prompt_text",
    "with_opinions",
]
