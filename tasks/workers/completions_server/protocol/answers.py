"""Answers in OpenAI's form, as vLLM fills it: whole, or as the chunks of a stream."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tasks.workers.completions_server.engine import TokenScore
from tasks.workers.completions_server.protocol.choices import Piece
from tasks.workers.completions_server.protocol.records import Request

Spell = Callable[[int], str]
# Stands for an infinite one, which JSON does not have.
LEAST_LOGPROB = -9999.0


class Answer:
    """The objects that answer one request."""

    def __init__(self, request: Request, model: str, spell: Spell) -> None:
        self._request, self._form = request, request.form
        self._spell = spell
        chat, stream = self._form.chat, self._form.stream
        self._frame = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}",
            "object": _object_name(chat=chat, stream=stream),
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, pieces: Iterable[Piece]) -> dict[str, Any]:
        """The complete answer."""
        by_choice: list[list[Piece]] = [[] for _ in self._request.generations]
        for piece in pieces:
            by_choice[piece.choice].append(piece)
        choices = [self._choice(index, made, first=True) for index, made in enumerate(by_choice)]
        usage = self._usage(sum(map(len, by_choice)))
        return {**self._frame, **self._prompt_ids(), "choices": choices, "usage": usage}

    def chunks(self, pieces: Iterator[Piece]) -> Iterator[dict[str, Any]]:
        """The answer token by token; if requested, the last chunk counts the tokens, or every chunk does."""
        counts = [0] * len(self._request.generations)
        for piece in pieces:
            if self._form.chat and not any(counts):
                yield from self._openings()
            first = counts[piece.choice] == 0
            counts[piece.choice] += 1
            chunk = {**self._frame, "choices": [self._choice(piece.choice, (piece,), first=first)]}
            yield self._counted(chunk, counts[piece.choice])
        if self._form.include_usage:
            yield {**self._frame, "choices": [], "usage": self._usage(sum(counts))}

    def _openings(self) -> Iterator[dict[str, Any]]:
        """The first chunk of each choice of a chat, which says who speaks."""
        for index in range(len(self._request.generations)):
            delta = {"role": "assistant", "content": ""}
            opening = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield self._counted({**self._frame, **self._prompt_ids(), "choices": [opening]}, 0)

    def _counted(self, chunk: dict[str, Any], tokens: int) -> dict[str, Any]:
        if self._form.continuous_usage:
            chunk["usage"] = self._usage(tokens)
        return chunk

    def _usage(self, tokens: int) -> dict[str, int]:
        prompt = self._request.prompt_tokens
        return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}

    def _prompt_ids(self) -> dict[str, Any]:
        """What a chat says of its prompt; completions say it in their choices."""
        if not (self._form.chat and self._form.return_token_ids):
            return {}
        return {"prompt_token_ids": list(self._request.generations[0].prompt)}

    def _choice(self, index: int, pieces: Sequence[Piece], *, first: bool) -> dict[str, Any]:
        """Successive pieces of one choice, which begins with them if `first`."""
        form, last = self._form, pieces[-1]
        text = "".join([piece.text for piece in pieces])
        content: dict[str, Any]
        if form.chat and form.stream:
            content = {"delta": {"content": text}}
        elif form.chat:
            content = {"message": {"role": "assistant", "content": text}}
        else:
            echo = form.echo[index // self._request.n] if form.echo and first else ""
            content = {"text": echo + text}
        made = {
            "index": index,
            **content,
            "logprobs": None if last.score is None else self._logprobs(pieces),
            "finish_reason": last.finish,
            "stop_reason": last.stop_reason,
        }
        if form.return_token_ids:
            made["token_ids"] = [piece.token for piece in pieces]
            if first and not form.chat:
                made["prompt_token_ids"] = list(self._request.generations[index].prompt)
        return made

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        scored = [(piece, piece.score) for piece in pieces if piece.score is not None]
        if self._form.chat:
            return {"content": [self._scored_content(piece.token, score) for piece, score in scored]}
        return {
            "tokens": [self._spell(piece.token) for piece, _ in scored],
            "token_logprobs": [_finite(score.chosen) for _, score in scored],
            "top_logprobs": [self._top(piece.token, score) for piece, score in scored],
            "text_offset": [piece.offset for piece, _ in scored],
        }

    def _top(self, token: int, score: TokenScore) -> dict[str, float]:
        """The chosen token and the likeliest ones."""
        best = {self._spell(token): _finite(score.chosen)}
        return best | {self._spell(one): _finite(value) for one, value in score.top if one != token}

    def _scored_content(self, token: int, score: TokenScore) -> dict[str, Any]:
        top = [_spelled(self._spell(one), value) for one, value in score.top]
        return {**_spelled(self._spell(token), score.chosen), "top_logprobs": top}


def _object_name(*, chat: bool, stream: bool) -> str:
    if not chat:
        return "text_completion"
    return "chat.completion.chunk" if stream else "chat.completion"


def _spelled(text: str, logprob: float) -> Mapping[str, Any]:
    return {"token": text, "logprob": _finite(logprob), "bytes": list(text.encode(errors="replace"))}


def _finite(logprob: float) -> float:
    return max(logprob, LEAST_LOGPROB)
