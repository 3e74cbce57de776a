"""Requests as they come in: JSON becomes a `Request`, or the reason why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tasks.workers.completions_server.protocol.errors import BadRequest
from tasks.workers.completions_server.protocol.fields import ignored_fields
from tasks.workers.completions_server.protocol.records import Form, Generation, Request, RequestLimits
from tasks.workers.completions_server.protocol.sampling import of_choice, read_sampling
from tasks.workers.completions_server.protocol.values import Body, flag, ids, mapping, refused, whole
from tasks.workers.completions_server.text.chat_template import TemplateRefused

MAX_LOGPROBS = 20
DEFAULT_MAX_TOKENS = 16
# VLLM_MAX_STOP_STRINGS of vLLM, and OpenAI's limit of n.
MOST_STOPS, MOST_CHOICES = 4, 128


class Tokenizer(Protocol):
    """Turns text into tokens, and back."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids, with the special tokens that the tokenizer adds, or without them."""

    def decode_all(self, tokens: Sequence[int]) -> str:
        """Text, special tokens by name."""


class Template(Protocol):
    """Turns messages into a prompt."""

    def render(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
        """The prompt; raises `TemplateRefused`."""


@dataclass(frozen=True)
class Served:
    """What this server has.

    Attributes:
        model: the name that it answers to.
        limits: what the engine was compiled for.
        tokenizer: of the checkpoint.
        template: of chats.
        defaults: of fields that a request leaves out, from generation_config.json.
    """

    model: str
    limits: RequestLimits
    tokenizer: Tokenizer
    template: Template
    defaults: Mapping[str, Any] = field(default_factory=dict)


def read_completion(body: Any, served: Served) -> Request:
    """Read a request to continue texts.

    Raises:
        BadRequest: a field is invalid; the message names it and says what would be valid.
    """
    body, ignored = _object(body, served, chat=False)
    echo = flag(body, "echo")
    logprobs = whole(body, "logprobs", None, 0, MAX_LOGPROBS)
    if echo and logprobs is not None:
        raise BadRequest("echo with logprobs is not supported: prompts are not scored", "echo")
    special = flag(body, "add_special_tokens", default=True)
    texts = _prompts(body.get("prompt"))
    prompts = [
        served.tokenizer.encode(one, special=special) if isinstance(one, str) else one for one in texts
    ]
    form = _form(body, chat=False)
    if echo:
        shown = [one if isinstance(one, str) else served.tokenizer.decode_all(one) for one in texts]
        form = _form(body, chat=False, echo=tuple(shown))
    return _request(body, served, prompts, logprobs, ("max_tokens", body.get("max_tokens")), form, ignored)


def read_chat(body: Any, served: Served) -> Request:
    """Read a request to answer messages.

    Raises:
        BadRequest: a field is invalid, the checkpoint has no chat template, or it refuses the messages.
    """
    body, ignored = _object(body, served, chat=True)
    top = whole(body, "top_logprobs", 0, 0, MAX_LOGPROBS)
    scored = flag(body, "logprobs")
    if top and not scored:
        raise BadRequest("top_logprobs needs logprobs = true", "top_logprobs")
    name = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    prompt = _chat_prompt(body, served)
    most = (name, body.get(name))
    return _request(body, served, [prompt], top if scored else None, most, _form(body, chat=True), ignored)


def _object(body: Any, served: Served, *, chat: bool) -> tuple[Body, tuple[str, ...]]:
    if not isinstance(body, dict):
        raise BadRequest("the request must be a JSON object")
    ignored = ignored_fields(body, chat=chat)
    named = body.get("model")
    if named is not None and named != served.model:
        raise BadRequest(
            f"the model {named!r} does not exist; this server has {served.model!r}", "model", 404
        )
    return body, ignored


def _prompts(value: Any) -> list[str | list[int]]:
    """The prompts of a request: a text or a list of token ids, or several of one of them."""
    several = isinstance(value, list) and value and all(isinstance(one, str | list) for one in value)
    prompts = value if several else [value]
    for one in prompts:
        if isinstance(one, str):
            continue
        if not isinstance(one, list) or not all(type(token) is int for token in one):
            raise BadRequest("prompt must be a text, a list of token ids, or a list of these", "prompt")
    return list(prompts)


def _chat_prompt(body: Body, served: Served) -> list[int]:
    variables = {
        "add_generation_prompt": flag(body, "add_generation_prompt", default=True),
        **{name: body[name] for name in ("documents", "reasoning_effort") if body.get(name) is not None},
        **mapping(body, "chat_template_kwargs"),
    }
    try:
        text = served.template.render(_messages(body.get("messages")), variables)
    except TemplateRefused as error:
        raise BadRequest(str(error), "messages") from None
    return served.tokenizer.encode(text, special=flag(body, "add_special_tokens"))


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise refused("messages", value, "a list of messages")
    for one in value:
        if not isinstance(one, dict) or not isinstance(one.get("role"), str):
            raise refused("messages", one, "a list of objects with role and content")
    return [{**one, "content": _content(one.get("content"))} for one in value]


def _content(value: Any) -> str:
    """The text of a message; several parts are lines of it, as vLLM joins them."""
    if value is None or isinstance(value, str):
        return value or ""
    parts = value if isinstance(value, list) else [value]
    for part in parts:
        known = isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        if not known:
            raise refused("messages", part, "text: this model takes no other content")
    return "\n".join(part["text"] for part in parts)


def _request(
    body: Body,
    served: Served,
    prompts: Sequence[Sequence[int]],
    logprobs: int | None,
    most: tuple[str, Any],
    form: Form,
    ignored: tuple[str, ...],
) -> Request:
    sampling = read_sampling(body, served.defaults, served.limits.vocab_size)
    n = whole(body, "n", 1, 1, MOST_CHOICES) or 1
    if n > 1 and not sampling.temperature:
        raise BadRequest(f"n = {n}: it must be 1 if temperature is 0, as all choices would be equal", "n")
    if n * len(prompts) > MOST_CHOICES:
        raise BadRequest(f"{len(prompts)} prompts and n = {n} are more than {MOST_CHOICES} choices", "prompt")
    ends = frozenset(ids(body, "stop_token_ids", served.limits.vocab_size))
    ignore_eos = flag(body, "ignore_eos")
    generations = []
    for prompt in prompts:
        given = _checked(prompt, served.limits, "messages" if form.chat else "prompt")
        count = _max_tokens(most, len(given), served, chat=form.chat)
        if sampling.min_tokens > count:
            raise BadRequest(
                f"min_tokens = {sampling.min_tokens} is more than {most[0]} = {count}", "min_tokens"
            )
        generations += [
            Generation(given, count, logprobs, ignore_eos, ends, of_choice(sampling, index))
            for index in range(n)
        ]
    return Request(tuple(generations), n, form, ignored)


def _checked(prompt: Sequence[int], limits: RequestLimits, name: str) -> tuple[int, ...]:
    if not prompt:
        raise BadRequest("the prompt is empty", name)
    if len(prompt) > limits.max_input_len:
        most = f"this engine was compiled for at most {limits.max_input_len}"
        raise BadRequest(f"the prompt has {len(prompt)} tokens; {most}", name)
    foreign = next((token for token in prompt if not 0 <= token < limits.vocab_size), None)
    if foreign is not None:
        raise BadRequest(f"token id {foreign} is outside the vocabulary of {limits.vocab_size}", name)
    return tuple(prompt)


def _max_tokens(most: tuple[str, Any], prompt_tokens: int, served: Served, *, chat: bool) -> int:
    name, value = most
    room = served.limits.max_seq_len - prompt_tokens
    default = served.defaults.get("max_new_tokens") or room if chat else DEFAULT_MAX_TOKENS
    count = whole({name: value}, name, None, 1)
    if count is None and room > 0:
        return int(min(default, room))
    if (count or 1) > room:
        raise BadRequest(
            f"{prompt_tokens} prompt tokens and {name} = {count or 1} exceed the "
            f"{served.limits.max_seq_len} tokens that this engine was compiled for",
            name,
        )
    return count or room


def _form(body: Body, *, chat: bool, echo: tuple[str, ...] = ()) -> Form:
    stream = flag(body, "stream")
    options = mapping(body, "stream_options")
    if options and not stream:
        raise BadRequest("stream_options needs stream = true", "stream_options")
    include_usage, continuous = flag(options, "include_usage"), flag(options, "continuous_usage_stats")
    if continuous and not include_usage:
        raise BadRequest("continuous_usage_stats needs include_usage", "stream_options")
    return Form(
        chat=chat,
        stream=stream,
        include_usage=include_usage,
        continuous_usage=continuous,
        return_token_ids=flag(body, "return_token_ids"),
        stop=_stop(body.get("stop")),
        include_stop=flag(body, "include_stop_str_in_output"),
        skip_special_tokens=flag(body, "skip_special_tokens", default=True),
        echo=echo,
    )


def _stop(value: Any) -> tuple[str, ...]:
    stops = [] if value is None else [value] if isinstance(value, str) else value
    if (
        not isinstance(stops, list)
        or len(stops) > MOST_STOPS
        or not all(isinstance(one, str) and one for one in stops)
    ):
        raise refused("stop", value, f"a text that is not empty, or a list of up to {MOST_STOPS}")
    return tuple(stops)
