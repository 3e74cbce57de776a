"""The OpenAI completions protocol: reads and checks requests, and makes answers.

Invariants:
- Whatever is accepted is honoured: a field that would change the answer and is not supported is refused by
  name, and so is an unknown field.
- Generation is greedy. `temperature` may be absent or 0; fields that only shape sampling (top_p, seed) have
  no effect and are accepted.
- `return_token_ids` follows vLLM: `prompt_token_ids` and `token_ids` in the choice; so does
  `continuous_usage_stats`: every chunk of a stream counts the tokens so far.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.workers.completions_server.engine import TokenScore

MAX_LOGPROBS = 20
DEFAULT_MAX_TOKENS = 16
# Fields that are accepted with exactly these values, because others would change the answer.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "temperature": (0,),
    "suffix": (),
    "stop": ([],),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "min_tokens": (0,),
    "skip_special_tokens": (True,),
    "add_special_tokens": (True,),
}
# Without effect on greedy decoding, or only a label.
WITHOUT_EFFECT = frozenset(["seed", "top_p", "top_k", "min_p", "user", "request_id"])
HONOURED = frozenset(
    [
        "model",
        "prompt",
        "max_tokens",
        "stream",
        "stream_options",
        "logprobs",
        "ignore_eos",
        "stop_token_ids",
        "return_token_ids",
    ]
)


class BadRequest(Exception):
    """A request that cannot be answered as asked; becomes an OpenAI error object."""

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status


@dataclass(frozen=True)
class RequestLimits:
    """The limits of this server: prompt tokens, tokens of a sequence, tokens of the vocabulary."""

    max_input_len: int
    max_seq_len: int
    vocab_size: int


@dataclass(frozen=True)
class Completion:
    """One accepted request.

    Attributes:
        prompt: token ids, at least one.
        max_tokens: most tokens to generate.
        stream: answer with server-sent events.
        include_usage: end the stream with a chunk that counts tokens.
        continuous_usage: count tokens in every chunk, too.
        logprobs: number of alternatives to report per token; None: no log-probabilities at all.
        ignore_eos: do not stop at the end-of-sequence token.
        stop_token_ids: further tokens to stop at, also if end-of-sequence tokens are ignored.
        return_token_ids: add token ids to the answer.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    stream: bool
    include_usage: bool
    continuous_usage: bool
    logprobs: int | None
    ignore_eos: bool
    return_token_ids: bool
    stop_token_ids: frozenset[int] = frozenset()


def read_completion(
    body: Any, limits: RequestLimits, model: str, encode: Callable[[str], list[int]]
) -> Completion:
    """Read and check a request.

    Args:
        body: the decoded JSON.
        limits: what the engine was compiled for.
        model: the name that this server answers to.
        encode: turns a text prompt into token ids, special tokens included.

    Raises:
        BadRequest: a field is invalid; the message names it and says what would be valid.
    """
    if not isinstance(body, dict):
        raise BadRequest("the request must be a JSON object")
    _check_fields(body)
    if body.get("model", model) != model:
        raise BadRequest(
            f"the model {body['model']!r} does not exist; this server has {model!r}", "model", 404
        )
    prompt = _prompt(body.get("prompt"), limits, encode)
    include_usage, continuous_usage = _stream_options(body)
    return Completion(
        prompt=prompt,
        max_tokens=_max_tokens(body, len(prompt), limits),
        stream=_flag(body, "stream"),
        include_usage=include_usage,
        continuous_usage=continuous_usage,
        logprobs=_logprobs(body.get("logprobs")),
        ignore_eos=_flag(body, "ignore_eos"),
        return_token_ids=_flag(body, "return_token_ids"),
        stop_token_ids=_stop_token_ids(body.get("stop_token_ids")),
    )


def error_object(message: str, param: str | None, status: int) -> dict[str, Any]:
    """An error as OpenAI's clients expect it."""
    kind = "NotFoundError" if status == 404 else "BadRequestError" if status < 500 else "InternalServerError"
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Token counts of one request."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def choice(
    text: str,
    finish_reason: str | None,
    *,
    token_ids: Sequence[int] | None = None,
    prompt_token_ids: Sequence[int] | None = None,
    logprobs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The only choice of an answer or of a chunk."""
    made: dict[str, Any] = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
    if prompt_token_ids is not None:
        made["prompt_token_ids"] = list(prompt_token_ids)
    if token_ids is not None:
        made["token_ids"] = list(token_ids)
    return made


def logprobs_object(
    tokens: Sequence[int], scores: Sequence[TokenScore], spell: Callable[[int], str], offset: int
) -> dict[str, Any]:
    """OpenAI's four parallel lists; `offset` is the number of characters generated before."""
    spelled = [spell(token) for token in tokens]
    starts = [offset + sum(map(len, spelled[:index])) for index in range(len(spelled))]
    return {
        "tokens": spelled,
        "token_logprobs": [score.chosen for score in scores],
        "top_logprobs": [{spell(token): value for token, value in score.top} for score in scores],
        "text_offset": starts,
    }


def _check_fields(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if name in HONOURED or name in WITHOUT_EFFECT:
            continue
        if name not in NEUTRAL:
            raise BadRequest(f"unknown field {name!r}", name)
        if value is not None and value not in NEUTRAL[name]:
            accepted = " or ".join(["absent", *map(repr, NEUTRAL[name])])
            raise BadRequest(f"{name} = {value!r} is not supported: it must be {accepted}", name)


def _prompt(value: Any, limits: RequestLimits, encode: Callable[[str], list[int]]) -> tuple[int, ...]:
    if isinstance(value, str):
        ids = encode(value)
    elif isinstance(value, list) and all(type(token) is int for token in value):
        ids = value
    else:
        raise BadRequest("prompt must be one text or one list of token ids", "prompt")
    if not ids:
        raise BadRequest("the prompt is empty", "prompt")
    if len(ids) > limits.max_input_len:
        raise BadRequest(
            f"the prompt has {len(ids)} tokens; this engine was compiled for at most {limits.max_input_len}",
            "prompt",
        )
    foreign = next((token for token in ids if not 0 <= token < limits.vocab_size), None)
    if foreign is not None:
        raise BadRequest(f"token id {foreign} is outside the vocabulary of {limits.vocab_size}", "prompt")
    return tuple(ids)


def _max_tokens(body: Mapping[str, Any], prompt_tokens: int, limits: RequestLimits) -> int:
    value = body.get("max_tokens")
    room = limits.max_seq_len - prompt_tokens
    if value is None:
        return min(DEFAULT_MAX_TOKENS, room)
    if type(value) is not int or value < 1:
        raise BadRequest(f"max_tokens = {value!r}: it must be a whole number of at least 1", "max_tokens")
    if value > room:
        raise BadRequest(
            f"{prompt_tokens} prompt tokens and max_tokens = {value} exceed the {limits.max_seq_len} tokens "
            "that this engine was compiled for",
            "max_tokens",
        )
    return value


def _logprobs(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= MAX_LOGPROBS:
        raise BadRequest(
            f"logprobs = {value!r}: it must be a whole number from 0 to {MAX_LOGPROBS}", "logprobs"
        )
    return value


def _stream_options(body: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether to count at the end, and whether to count in every chunk, too, which needs the former."""
    options = body.get("stream_options")
    if options is None:
        return False, False
    if not isinstance(options, dict) or set(options) - {"include_usage", "continuous_usage_stats"}:
        raise BadRequest(
            "stream_options may hold only include_usage and continuous_usage_stats", "stream_options"
        )
    at_end, in_chunks = _flag(options, "include_usage"), _flag(options, "continuous_usage_stats")
    if in_chunks and not at_end:
        raise BadRequest("continuous_usage_stats needs include_usage", "stream_options")
    return at_end, in_chunks


def _stop_token_ids(value: Any) -> frozenset[int]:
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(type(token) is int for token in value):
        raise BadRequest(f"stop_token_ids = {value!r}: it must be a list of token ids", "stop_token_ids")
    return frozenset(value)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadRequest(f"{name} = {value!r}: it must be true or false", name)
    return value
