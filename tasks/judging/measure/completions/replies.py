"""What the reply to a completion that is not timed holds. Pure.

Invariants:
- What an answer lacks is an error and never guessed.
- Where a server names token ids, its usage must count as many: timed requests are counted by usage alone.
"""

from typing import Any

from tasks.errors import ServerBroke
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.completions.numbers import count_in, ids_in
from tasks.judging.measure.completions.streams import Trace


def streamed_ids(trace: Trace, asked: Endpoint) -> tuple[int, ...]:
    """The token ids of a finished stream; raises `ServerBroke` if its chunks do not name all of them."""
    if len(trace.token_ids) != trace.output_tokens:
        said = f"The stream names {len(trace.token_ids)} token ids and counts {trace.output_tokens} tokens"
        raise _broke(said, {"text": trace.text}, asked)
    return trace.token_ids


def generated_ids(answer: dict[str, Any], asked: Endpoint) -> list[int]:
    """The generated token ids.

    Raises `ServerBroke` if the server names none, or another number of them than its usage counts.
    """
    named = _choice(answer).get("token_ids")
    if named is None:
        raise _broke("The answer holds no token ids", answer, asked)
    ids = ids_in(named, where=_where(asked))
    counted = count_in(_usage(answer), "completion_tokens", where=_where(asked))
    if len(ids) != counted:
        raise _broke(f"The answer holds {len(ids)} token ids and counts {counted} tokens", answer, asked)
    return ids


def generated_text(answer: dict[str, Any], asked: Endpoint) -> str:
    """The generated text; raises `ServerBroke` if the server gave none."""
    text = _choice(answer).get("text")
    if not isinstance(text, str):
        raise _broke("The answer holds no text", answer, asked)
    return text


def prompt_ids(answer: dict[str, Any], asked: Endpoint) -> list[int]:
    """The prompt's token ids, in the choice or next to it; raises `ServerBroke` if it names none."""
    ids = _choice(answer).get("prompt_token_ids", answer.get("prompt_token_ids"))
    if ids is None:
        raise _broke("The answer holds no prompt_token_ids", answer, asked)
    return ids_in(ids, where=_where(asked))


def prompt_tokens(answer: dict[str, Any], asked: Endpoint) -> int:
    """How many tokens the server read the prompt as; raises `ServerBroke` if it does not say."""
    counted = count_in(_usage(answer), "prompt_tokens", where=_where(asked))
    if counted is None:
        raise _broke("The answer does not count the prompt's tokens", answer, asked)
    return counted


def _choice(answer: dict[str, Any]) -> dict[str, Any]:
    choices: list[dict[str, Any]] = answer.get("choices") or [{}]
    return choices[0]


def _usage(answer: dict[str, Any]) -> dict[str, Any]:
    return answer.get("usage") or {}


def _where(asked: Endpoint) -> str:
    return f"{asked.base_url} ({asked.side.name})"


def _broke(what: str, answer: dict[str, Any], asked: Endpoint) -> ServerBroke:
    return ServerBroke(
        f"{what}: {str(answer)[:300]}",
        where=_where(asked),
        fix=f"The server must give ids {asked.side.serve.generated_ids}, as its command says, and usage.",
    )
