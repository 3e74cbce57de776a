"""Parsing of answers to completions that are not timed. Pure.

Invariants:
- If an answer lacks something, that is an error; nothing is guessed.
- If a server returns token ids, its usage must have the same count: timed requests are counted by usage
  alone.
"""

from typing import Any

from tasks.errors import ServerBroke
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.completions.numbers import count_in, ids_in
from tasks.judging.measure.completions.streams import Trace


def streamed_ids(trace: Trace, asked: Endpoint) -> tuple[int, ...]:
    """Return the token ids of a finished stream; raise `ServerBroke` if its chunks lack some of them."""
    if len(trace.token_ids) != trace.output_tokens:
        said = f"the stream has {len(trace.token_ids)} token ids but counts {trace.output_tokens} tokens"
        raise _broke(said, {"text": trace.text}, asked)
    return trace.token_ids


def generated_ids(answer: dict[str, Any], asked: Endpoint) -> list[int]:
    """Return the generated token ids.

    Raises `ServerBroke` if the server returns none, or another number of them than its usage says.
    """
    named = _choice(answer).get("token_ids")
    if named is None:
        raise _broke("the answer has no token ids", answer, asked)
    ids = ids_in(named, where=_where(asked))
    counted = count_in(_usage(answer), "completion_tokens", where=_where(asked))
    if len(ids) != counted:
        raise _broke(f"the answer has {len(ids)} token ids but counts {counted} tokens", answer, asked)
    return ids


def generated_text(answer: dict[str, Any], asked: Endpoint) -> str:
    """Return the generated text; raise `ServerBroke` if there is none."""
    text = _choice(answer).get("text")
    if not isinstance(text, str):
        raise _broke("the answer has no text", answer, asked)
    return text


def prompt_ids(answer: dict[str, Any], asked: Endpoint) -> list[int]:
    """Return the prompt's token ids, from the choice or next to it; raise `ServerBroke` if there are none."""
    ids = _choice(answer).get("prompt_token_ids", answer.get("prompt_token_ids"))
    if ids is None:
        raise _broke("the answer has no prompt_token_ids", answer, asked)
    return ids_in(ids, where=_where(asked))


def prompt_tokens(answer: dict[str, Any], asked: Endpoint) -> int:
    """Return the number of tokens in the prompt by the server's count; raise `ServerBroke` if missing."""
    counted = count_in(_usage(answer), "prompt_tokens", where=_where(asked))
    if counted is None:
        raise _broke("the answer does not count the prompt's tokens", answer, asked)
    return counted


def _choice(answer: dict[str, Any]) -> dict[str, Any]:
    choices: list[dict[str, Any]] = answer.get("choices") or [{}]
    return choices[0]


def _usage(answer: dict[str, Any]) -> dict[str, Any]:
    return answer.get("usage") or {}


def _where(asked: Endpoint) -> str:
    return f"{asked.base_url} ({asked.side.name})"


def _broke(what: str, answer: dict[str, Any], asked: Endpoint) -> ServerBroke:
    ids = asked.side.serve.generated_ids.replace("-", " ")
    return ServerBroke(
        f"{what}: {str(answer)[:300]}",
        where=_where(asked),
        fix=f"the server must return usage, and token ids {ids}, as its serve command declares",
    )
