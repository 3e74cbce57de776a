"""What the answer to an untimed completion holds. Pure.

Invariants:
- What an answer lacks is an error and never guessed.
- Where a server names token ids, its usage must count as many: timed requests are counted by usage alone.
"""

from typing import Any

from tasks.errors import ServerBroke
from tasks.judging.endpoint import Endpoint


def generated_ids(answer: dict[str, Any], asked: Endpoint, *, count: int | None = None) -> list[int]:
    """The generated token ids, exactly `count` where that is given.

    Raises `ServerBroke` where the server names none, or another number of them than its usage counts.
    """
    ids = _choice(answer).get("token_ids")
    counted = (answer.get("usage") or {}).get("completion_tokens")
    if ids is None or (count is not None and len(ids) != count):
        wanted = "no token ids" if count is None else f"not the {count} token ids that were asked for"
        raise _broke(f"The answer holds {wanted}", answer, asked)
    if len(ids) != counted:
        raise _broke(f"The answer holds {len(ids)} token ids and counts {counted} tokens", answer, asked)
    return [int(token) for token in ids]


def generated_text(answer: dict[str, Any], asked: Endpoint) -> str:
    """The generated text; raises `ServerBroke` where the server gave none."""
    text = _choice(answer).get("text")
    if not isinstance(text, str):
        raise _broke("The answer holds no text", answer, asked)
    return text


def prompt_ids(answer: dict[str, Any], asked: Endpoint) -> list[int]:
    """The prompt's token ids, in the choice or beside it; raises `ServerBroke` where it names none."""
    ids = _choice(answer).get("prompt_token_ids", answer.get("prompt_token_ids"))
    if ids is None:
        raise _broke("The answer holds no prompt_token_ids", answer, asked)
    return [int(token) for token in ids]


def prompt_tokens(answer: dict[str, Any], asked: Endpoint) -> int:
    """How many tokens the server read the prompt as; raises `ServerBroke` where it does not say."""
    counted = (answer.get("usage") or {}).get("prompt_tokens")
    if counted is None:
        raise _broke("The answer does not count the prompt's tokens", answer, asked)
    return int(counted)


def _choice(answer: dict[str, Any]) -> dict[str, Any]:
    choices: list[dict[str, Any]] = answer.get("choices") or [{}]
    return choices[0]


def _broke(what: str, answer: dict[str, Any], asked: Endpoint) -> ServerBroke:
    return ServerBroke(
        f"{what}: {str(answer)[:300]}",
        where=f"{asked.base_url} ({asked.side.name})",
        fix=f"The server must give ids {asked.side.recipe.generated_ids}, as its recipe says, and usage.",
    )
