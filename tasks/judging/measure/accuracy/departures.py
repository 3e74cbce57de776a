"""How likely the reference finds the tokens of a continuation, from vLLM's `prompt_logprobs`. Pure.

Format (vllm/logprobs.py of vLLM 0.32.0, `prompt_logprobs: 1`): one entry per token of the prompt, null for
the first. An entry maps two token ids to `logprob` and `rank`: the id in the prompt, and the likeliest one,
which has rank 1 and may be the same. A token that ties with the likeliest one has the same log-probability
and another rank.

Invariant: a value that is missing, or not a log-probability, is an error and never a regret.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.errors import ServerBroke
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.completions import finite
from tasks.judging.results import Departure

# A sum of float32 probabilities may exceed 1 by rounding.
LARGEST_LOGPROB = 1e-4


def read_departures(
    scored: Mapping[str, Any], continuation: Sequence[int], *, context_tokens: int, asked: Endpoint
) -> tuple[Departure, ...]:
    """Return where a continuation departs from the reference's own choices, with the regret in nats.

    Args:
        scored: the reference's answer to context and continuation as one prompt.
        continuation: ids of its last tokens.
        context_tokens: how many tokens come before them.
        asked: the reference, for errors.

    Raises:
        ServerBroke: the answer lacks the log-probability of a token, or of the likeliest one.
    """
    reader = _Reader(asked)
    entries = reader.entries(scored, context_tokens + len(continuation))
    scores = [
        reader.score(entry, token, context_tokens + index)
        for index, (entry, token) in enumerate(zip(entries[context_tokens:], continuation, strict=True))
    ]
    return tuple(
        Departure(index=index, engine_token=token, reference_token=best, regret_nats=regret)
        for index, (token, (best, regret)) in enumerate(zip(continuation, scores, strict=True))
        if best != token
    )


class _Reader:
    """Parses one answer; errors name the side that gave it."""

    def __init__(self, asked: Endpoint) -> None:
        self._asked = asked

    def entries(self, scored: Mapping[str, Any], tokens: int) -> list[Any]:
        choices = scored.get("choices") or [{}]
        entries = choices[0].get("prompt_logprobs")
        if not isinstance(entries, list):
            raise self._broke("no prompt_logprobs", scored)
        if len(entries) != tokens:
            raise self._broke(f"{len(entries)} prompt_logprobs for a prompt of {tokens} tokens", entries[-2:])
        return entries

    def score(self, entry: Any, token: int, position: int) -> tuple[int, float]:
        """Return the likeliest token, and the regret of `token` in nats; in a tie, `token` is likeliest."""
        place = f"for token {token} at position {position}"
        if not isinstance(entry, dict) or str(token) not in entry:
            raise self._broke(f"no log-probability {place}", entry)
        logprobs = {name: self._logprob(score, place) for name, score in entry.items()}
        likeliest = [name for name, score in entry.items() if score.get("rank") == 1]
        if len(likeliest) != 1:
            raise self._broke(f"no likeliest token, of rank 1, next to the one {place}", entry)
        best, own = logprobs[likeliest[0]], logprobs[str(token)]
        if own > best:
            raise self._broke(f"a likeliest token that is less likely than the one {place}", entry)
        return (token, 0.0) if own == best else (int(likeliest[0]), best - own)

    def _logprob(self, score: Any, place: str) -> float:
        logprob = finite(score.get("logprob")) if isinstance(score, dict) else None
        if logprob is None or logprob > LARGEST_LOGPROB:
            raise self._broke(f"something other than log-probabilities {place}", score)
        return logprob

    def _broke(self, found: str, said: Any) -> ServerBroke:
        return ServerBroke(
            f"the answer holds {found}: {str(said)[:300]}",
            where=f"{self._asked.base_url} ({self._asked.side.name})",
            fix="the reference must be a vLLM server that scores prompts with finite numbers: serve the "
            "checkpoint by hand with the reference's command, and look at its answers",
        )
