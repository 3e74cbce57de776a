"""How likely a side finds each option of a question, by forcing the tokens of the option.

Each request asks for one token, which `logit_bias` makes the likeliest, and for its log-probability, which
servers report as the model gave it, before that bias. Options that begin with the same tokens share requests.

Invariants:
- A token that was not generated although it was forced, or a value that is not a log-probability, is an error
  and never a score.
- So are tokens that follow the same ids with probabilities of more than 1 in all: such a server counts the
  bias in.
"""

import math
from collections.abc import Sequence
from typing import Any

from tasks.errors import ServerBroke
from tasks.judging.measure.completions import CompletionsClient, finite, generated_ids
from tasks.judging.measure.prompts import Prompt

# The largest that OpenAI's interface allows.
FORCE = 100
# Of a sum of float32 probabilities, some of which were computed in another batch.
TOLERANCE = 0.01

Step = tuple[Prompt, int]
"""Ids of an option, and the one that follows."""


async def score_options(
    asked: CompletionsClient, prompt: Prompt, options: Sequence[Prompt]
) -> tuple[float, ...]:
    """Return the log-likelihood of each option after the prompt, in nats."""
    steps = sorted({(option[:place], option[place]) for option in options for place in range(len(option))})
    scores = {step: await _score(asked, (*prompt, *step[0]), step[1]) for step in steps}
    _require_probabilities(asked, scores)
    return tuple(
        math.fsum(scores[option[:place], option[place]] for place in range(len(option))) for option in options
    )


async def _score(asked: CompletionsClient, prompt: Prompt, token: int) -> float:
    answer = await asked.complete(prompt, 1, logprobs=1, ignore_eos=True, logit_bias={str(token): FORCE})
    if generated_ids(answer, asked.endpoint) != [token]:
        raise _broke(asked, f"token {token} was forced, but another one was generated", answer)
    scores = ((answer.get("choices") or [{}])[0].get("logprobs") or {}).get("token_logprobs")
    score = finite(scores[0]) if isinstance(scores, list) and len(scores) == 1 else None
    if score is None or score > TOLERANCE:
        raise _broke(asked, f"the answer holds no log-probability of token {token}", answer)
    return min(score, 0.0)


def _require_probabilities(asked: CompletionsClient, scores: dict[Step, float]) -> None:
    sums: dict[Prompt, float] = {}
    for (before, _), score in scores.items():
        sums[before] = sums.get(before, 0.0) + math.exp(score)
    if (most := max(sums.values(), default=0.0)) > 1 + TOLERANCE:
        said = f"tokens after the same ids have probabilities of {most:.3f} in all, so the bias is counted in"
        raise _broke(asked, said, {})


def _broke(asked: CompletionsClient, what: str, answer: dict[str, Any]) -> ServerBroke:
    return ServerBroke(
        f"{what}: {str(answer)[:300]}" if answer else what,
        where=f"{asked.endpoint.base_url} ({asked.endpoint.side.name})",
        fix="declare form: exact-match for this kind, and report its fact scores_options as wrong; options "
        "are scored by servers that honour logit_bias and report log-probabilities without it",
    )
