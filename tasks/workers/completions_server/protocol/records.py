"""Accepted requests: what to generate, and how to write the answer."""

from dataclasses import dataclass, field

from tasks.workers.completions_server.engine import Sampling


@dataclass(frozen=True)
class RequestLimits:
    """The limits of this server: prompt tokens, tokens of a sequence, tokens of the vocabulary."""

    max_input_len: int
    max_seq_len: int
    vocab_size: int


@dataclass(frozen=True)
class Generation:
    """One sequence to generate.

    Attributes:
        prompt: token ids, at least one.
        max_tokens: most tokens to generate.
        logprobs: number of alternatives to report per token; None: no log-probabilities at all.
        ignore_eos: do not stop at the end-of-sequence token.
        stop_token_ids: further tokens to stop at, also if end-of-sequence tokens are ignored.
        sampling: how its tokens are chosen.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    logprobs: int | None = None
    ignore_eos: bool = False
    stop_token_ids: frozenset[int] = frozenset()
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True)
class Form:
    """How an answer is written.

    Attributes:
        chat: as messages, not as text.
        stream: with server-sent events.
        include_usage: end the stream with a chunk that counts tokens.
        continuous_usage: count tokens in every chunk, too.
        return_token_ids: add token ids.
        stop: strings that end the text.
        include_stop: whether the text includes what ended it.
        skip_special_tokens: whether special tokens have no text.
        echo: text of the prompts, which the answers begin with; none if that was not asked for.
    """

    chat: bool = False
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    return_token_ids: bool = False
    stop: tuple[str, ...] = ()
    include_stop: bool = False
    skip_special_tokens: bool = True
    echo: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """One accepted request.

    Attributes:
        generations: the choices of the answer: `n` of the first prompt, of the second, ...
        n: choices per prompt.
        form: of the answer.
        ignored: fields that nothing here knows.
    """

    generations: tuple[Generation, ...]
    n: int
    form: Form
    ignored: tuple[str, ...] = ()

    @property
    def prompt_tokens(self) -> int:
        """The tokens of all prompts, each counted once."""
        return sum(len(one.prompt) for one in self.generations[:: self.n])
