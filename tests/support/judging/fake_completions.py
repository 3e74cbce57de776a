"""A stand-in for a completions server: real HTTP, planted tokens, likelihoods, latencies and faults. It runs
no model.

Text is tokenized by UTF-8 bytes, shifted past the special ids, so round trips hold for every text.

It speaks as vLLM does, which lets unknown fields pass, or as trtllm-serve, which refuses them, names
generated ids only instead of text and the prompt's never, and has no paths of a tokenizer.
"""

import asyncio
import codecs
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from aiohttp import web

from support.standin.interface_tables import table

BEGIN, END = 0, 1
SHIFT = 3
VOCABULARY = 256 + SHIFT

Fault = Literal[
    "none",
    "refuse",
    "break",
    "no-done",
    "hang",
    "error-event",
    "not-json",
    "short",
    "crash",
    "miscount",
    "miscount-at-end",
    "no-ids",
    "uncounted",
    "negative",
    "no-whole-count",
]
Speech = Literal["vllm", "trtllm-serve-1.2", "trtllm-serve-1.4"]


@cache
def completion_request(program: str) -> dict[str, Any]:
    """The fields that a program's server takes in a completion, by the table of its interface."""
    fields: dict[str, Any] = table(program)["completion_request"]
    return fields


def next_byte(prompt: Sequence[int]) -> int:
    """A token that depends on the whole prompt, so that another prompt gives another answer."""
    return SHIFT + (sum(prompt) * 31 + len(prompt)) % 256


@dataclass
class Behaviour:
    """What a stand-in does.

    Attributes:
        next_token: its greedy choice after a prompt.
        continues: what it writes instead, by the length of the prompt and all ids so far; None: its choice.
        regret_of: nats by which it finds any other token less likely than its own choice.
        first_token_s, per_token_s: planted waits.
        delay_s: by how much the first token after a prompt is late, besides.
        slots: streams that it answers at a time; the others wait for their turn. None: any number.
        tokens_per_chunk: tokens in one event of a stream.
        stops_after: tokens after which it ends a continuation by itself; None: never.
        ends_nowhere: whether it goes on after the tokens at which it is asked to end.
        longest_answer: tokens after which it ends any answer, whatever it is asked for; None: it does not.
        begins_text: whether its tokenizer puts a begin-of-text id in front.
        penalizes: whether it applies a penalty of its checkpoint's to requests that name none.
        cuts_at: tokens of a text prompt that it reads; None: all of them.
        spells: how it writes ids out, when that is not the fakes' own way.
        streams: what becomes of the text of a chunk where nobody asks for ids, as in timed rounds.
        scores: what becomes of the entries of `prompt_logprobs`.
        logprob_of: log-probability of a token after a prompt, where `logprobs` asks for it.
        counts_bias_in: whether `logit_bias` changes the log-probabilities that it reports.
        obeys_bias: whether `logit_bias` decides what it generates.
        writes: text of its answer to a prompt, instead of `next_token`; None: what `next_token` says.
        speaks: whose protocol it speaks.
        fault: what goes wrong in completions.
    """

    next_token: Callable[[Sequence[int]], int] = next_byte
    continues: Callable[[int, Sequence[int]], int] | None = None
    regret_of: Callable[[int], float] = lambda token: 1.0
    first_token_s: float = 0.0
    per_token_s: float = 0.0
    delay_s: Callable[[Sequence[int]], float] = lambda prompt: 0.0
    slots: int | None = None
    tokens_per_chunk: int = 1
    stops_after: int | None = None
    ends_nowhere: bool = False
    longest_answer: int | None = None
    begins_text: bool = True
    penalizes: bool = False
    cuts_at: int | None = None
    spells: Callable[[str], str] = str
    streams: Callable[[str], str] = str
    scores: Callable[[list[Any]], list[Any]] = list
    logprob_of: Callable[[Sequence[int], int], float] = lambda prompt, token: -6.0
    counts_bias_in: bool = False
    obeys_bias: bool = True
    writes: Callable[[Sequence[int]], str | None] = lambda prompt: None
    speaks: Speech = "vllm"
    fault: Fault = "none"


@dataclass
class FakeServer:
    """A running stand-in: where it listens, what it was asked, and how much of it at once."""

    behaviour: Behaviour
    base_url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    streaming: int = 0
    most_streaming: int = 0
    turn: asyncio.Semaphore | None = None

    @property
    def timed_requests(self) -> list[dict[str, Any]]:
        """Requests as they are timed: streams of text, without ids."""
        return [one for one in self.requests if one.get("stream") and _asks_for_text(one)]

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/completions", self._completions)
        if self.behaviour.speaks == "vllm":
            app.router.add_post("/tokenize", self._tokenize)
            app.router.add_post("/detokenize", self._detokenize)
        return app

    def encode(self, text: str) -> list[int]:
        return [byte + SHIFT for byte in text.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i - SHIFT for i in ids if i >= SHIFT).decode(errors="replace")

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "messages" in body:
            said = "".join(f"<{one['role']}>{one['content']}" for one in body["messages"])
            return web.json_response({"tokens": [BEGIN, *self.encode(f"{said}<assistant>")]})
        lead = [BEGIN] if self.behaviour.begins_text and body.get("add_special_tokens", True) else []
        return web.json_response({"tokens": lead + self.encode(body["prompt"])})

    async def _detokenize(self, request: web.Request) -> web.Response:
        """Text in which special tokens have names, as vLLM answers; completions leave them out."""
        spelled = b"".join(
            bytes([token - SHIFT]) if token >= SHIFT else f"<special {token}>".encode()
            for token in (await request.json())["tokens"]
        )
        return web.json_response({"prompt": spelled.decode(errors="replace")})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        if refused := self._refused(body):
            return web.json_response({"error": {"message": refused}}, status=400)
        prompt = self._prompt_ids(body["prompt"])
        match self.behaviour.fault:
            case "refuse":
                return web.json_response(
                    {"error": {"message": "max_tokens is beyond max_seq_len 64"}}, status=400
                )
            case "crash":
                return web.Response(status=500, text="Internal Server Error")
            case "not-json":
                return web.Response(text="<html>proxy</html>")
            case "hang":
                await asyncio.sleep(60)
        tokens = self._generate(prompt, body)
        if body.get("stream"):
            self.streaming += 1
            self.most_streaming = max(self.most_streaming, self.streaming)
            try:
                async with self._turn():
                    return await self._stream(request, body, prompt, tokens)
            finally:
                self.streaming -= 1
        choice = self._choice(body, tokens)
        if self.behaviour.speaks == "vllm" and body.get("return_token_ids"):
            choice["prompt_token_ids"] = prompt
        choice |= self._scores(prompt, tokens, body)
        return web.json_response({"choices": [choice], "usage": self._usage(len(prompt), len(tokens))})

    def _turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until it answers one more stream."""
        if self.behaviour.slots is None:
            return nullcontext()
        self.turn = self.turn or asyncio.Semaphore(self.behaviour.slots)
        return self.turn

    def _refused(self, body: dict[str, Any]) -> str:
        """What trtllm-serve says to a request that it does not take; empty where it is taken."""
        if self.behaviour.speaks == "vllm":
            return ""
        fields = completion_request(self.behaviour.speaks)
        unknown = set(body) - {*fields["required"], *fields["optional"]}
        unknown |= set(body.get("stream_options", {})) - set(fields["stream_options"])
        if unknown:
            return f"Extra inputs are not permitted: {sorted(unknown)}"
        alone = "stream_options" in body and not body.get("stream")
        return "Stream options can only be defined when stream is true." if alone else ""

    def _choice(self, body: dict[str, Any], ids: list[int]) -> dict[str, Any]:
        text = self.behaviour.spells(self.decode(ids))
        named = {} if self.behaviour.fault == "no-ids" else {"token_ids": ids}
        if self.behaviour.speaks == "vllm":
            return {"text": text} | (named if body.get("return_token_ids") else {})
        return {"text": text, "token_ids": None} if body.get("detokenize", True) else {"text": "", **named}

    def _usage(self, prompt_tokens: int, tokens: int, *, at_end: bool = True) -> dict[str, Any]:
        fault = self.behaviour.fault
        if fault in {"negative", "no-whole-count"}:
            wrong = -tokens if fault == "negative" else tokens + 0.5
            return {"prompt_tokens": prompt_tokens, "completion_tokens": wrong}
        lie = int(fault == "miscount" or (fault == "miscount-at-end" and at_end))
        return {"prompt_tokens": prompt_tokens, "completion_tokens": tokens + lie}

    def _prompt_ids(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, list):
            return prompt
        ids = ([BEGIN] if self.behaviour.begins_text else []) + self.encode(prompt)
        return ids[: self.behaviour.cuts_at]

    def _generate(self, prompt: list[int], body: dict[str, Any]) -> list[int]:
        behaviour = self.behaviour
        count = min(body["max_tokens"], behaviour.longest_answer or body["max_tokens"])
        stops = behaviour.stops_after
        if stops is not None and not body.get("ignore_eos"):
            count = min(count, stops)
        if (written := behaviour.writes(prompt)) is not None:
            return self.encode(written)[:count]
        if behaviour.obeys_bias and (bias := body.get("logit_bias")):
            return [int(max(bias, key=lambda token: bias[token]))]
        ids, penalty = list(prompt), int(behaviour.penalizes and "repetition_penalty" not in body)
        ends = () if behaviour.ends_nowhere else body.get("stop_token_ids", ())
        for _ in range(count):
            ids.append(self._next(len(prompt), ids) + penalty)
            if ids[-1] in ends:
                break
        return ids[len(prompt) :]

    def _next(self, prompt_tokens: int, ids: list[int]) -> int:
        continues = self.behaviour.continues
        return continues(prompt_tokens, ids) if continues else self.behaviour.next_token(ids)

    def _scores(self, prompt: list[int], tokens: list[int], body: dict[str, Any]) -> dict[str, Any]:
        scores: dict[str, Any] = {}
        if body.get("logprobs") is not None:
            scores["logprobs"] = {"token_logprobs": self._logprobs(prompt, tokens, body)}
        if body.get("prompt_logprobs") is not None:
            scores["prompt_logprobs"] = self.behaviour.scores(self._score(prompt))
        return scores

    def _logprobs(self, prompt: list[int], tokens: list[int], body: dict[str, Any]) -> list[float]:
        if self.behaviour.counts_bias_in and body.get("logit_bias"):
            return [-0.001] * len(tokens)
        return [self.behaviour.logprob_of((*prompt, *tokens[:at]), one) for at, one in enumerate(tokens)]

    def _score(self, prompt: list[int]) -> list[dict[str, Any] | None]:
        return [None, *(self._score_of(prompt[:place], prompt[place]) for place in range(1, len(prompt)))]

    def _score_of(self, before: list[int], given: int) -> dict[str, Any]:
        best = self.behaviour.next_token(before)
        score: dict[str, Any] = {str(best): {"logprob": -0.1, "rank": 1}}
        if given != best:
            score[str(given)] = {"logprob": -0.1 - self.behaviour.regret_of(given), "rank": 2}
        return score

    def _chunks(self, tokens: list[int]) -> list[list[int]]:
        """The ids of every chunk."""
        size = self.behaviour.tokens_per_chunk
        return [tokens[at : at + size] for at in range(0, len(tokens), size)]

    async def _stream(
        self, request: web.Request, body: dict[str, Any], prompt: list[int], tokens: list[int]
    ) -> web.StreamResponse:
        behaviour = self.behaviour
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        letters = codecs.getincrementaldecoder("utf-8")("replace")
        self._letters(letters, prompt, last=False)
        chunks = self._chunks(tokens)
        if behaviour.fault == "short":
            chunks = chunks[:-1]
        counts = (
            body.get("stream_options", {}).get("continuous_usage_stats") and behaviour.fault != "uncounted"
        )
        sent = 0
        for index, ids in enumerate(chunks):
            wait_s = behaviour.per_token_s * len(ids)
            if index == 0:
                wait_s = behaviour.first_token_s + behaviour.delay_s(prompt)
            await asyncio.sleep(wait_s)
            if behaviour.fault == "break" and index == 2:
                assert request.transport is not None
                request.transport.close()
                return response
            sent += len(ids)
            usage = {"usage": self._usage(len(prompt), sent, at_end=False)} if counts else {}
            choice = self._choice(body, ids)
            if choice["text"]:
                last = index == len(chunks) - 1
                choice["text"] = behaviour.spells(self._letters(letters, ids, last=last))
            if _asks_for_text(body):
                choice["text"] = behaviour.streams(choice["text"])
            await self._event(response, {"choices": [choice], **usage})
        if behaviour.fault == "error-event":
            await self._event(response, {"error": {"message": "engine died"}})
        if behaviour.fault != "no-done":
            await self._event(response, {"choices": [], "usage": self._usage(len(prompt), sent)})
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _letters(self, letters: codecs.IncrementalDecoder, ids: Sequence[int], *, last: bool) -> str:
        """The characters that are complete by now; after the last token, all."""
        return letters.decode(bytes(i - SHIFT for i in ids if i >= SHIFT), final=last)

    async def _event(self, response: web.StreamResponse, payload: dict[str, Any]) -> None:
        await response.write(f"data: {json.dumps(payload)}\n\n".encode())


def _asks_for_text(body: dict[str, Any]) -> bool:
    return not {"return_token_ids", "detokenize"} & set(body)


@contextmanager
def fake_server(behaviour: Behaviour, kind: type[FakeServer] = FakeServer) -> Iterator[FakeServer]:
    """Serve a stand-in on a free port from a thread of its own."""
    server = kind(behaviour)
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.base_url = f"http://{host}:{port}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
