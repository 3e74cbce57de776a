"""One HTTP client for all sides: streamed OpenAI completions of token ids, with a time stamp per chunk.

Invariants:
- Timed requests have the same fields for engine and reference: each side returns text and no token ids, so
  each does the work of a user's request, detokenizing included. Tokens are counted by the usage in every
  chunk (`continuous_usage_stats`), which vLLM, TensorRT-LLM and the AOT server all support.
- Every request sets neutral values for all that could change a greedy answer, so that neither a server's
  defaults nor those of a checkpoint matter.
- Token ids are only asked for in untimed requests, streamed or not, by the fields that the side's serve
  command declares; their number is compared with the server's usage, by which timed requests are counted.
- While a stream runs, bytes are only stamped and kept; JSON is parsed after its end, so the client uses
  little of a shared CPU.
- A request either completes or raises `ServerRefusedRequest`, `ServerBroke` or `ServerSilent` with the
  server's own words.
- Nothing is retried: a server that fails once while it is judged has failed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter_ns
from typing import Any

import aiohttp

from tasks.errors import ServerBroke, ServerRefusedRequest, ServerSilent
from tasks.judging.endpoint import Endpoint
from tasks.judging.measure.completions.numbers import ids_in
from tasks.judging.measure.completions.streams import RawStream, StampedBytes

COMPLETIONS = "/v1/completions"
# Servers close idle connections on their own (uvicorn after 5 s); a client that keeps them longer sometimes
# sends into a connection that is just being closed.
KEEPALIVE_S = 2.0
COUNTED = {"include_usage": True, "continuous_usage_stats": True}
# Fields that generation_config.json of a checkpoint may set, and that change greedy answers.
NEUTRAL = {"temperature": 0, "presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1}
ASKING_FOR_IDS: dict[str, dict[str, Any]] = {
    "with-text": {"return_token_ids": True},
    "instead-of-text": {"detokenize": False},
}


class CompletionsClient:
    """Sends requests to one endpoint; made by `open_client`, which owns the connections."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession, request_limit_s: float) -> None:
        self.endpoint = endpoint
        self._session = session
        self._limit_s = request_limit_s

    async def stream(self, prompt: Sequence[int], max_tokens: int) -> RawStream:
        """Stream exactly `max_tokens` greedy tokens as text, and stamp every chunk; `prompt` is token ids."""
        return await self._stream(prompt, max_tokens, {})

    async def stream_ids(self, prompt: Sequence[int], max_tokens: int) -> RawStream:
        """Stream as `stream` does, and ask for token ids as well."""
        return await self._stream(prompt, max_tokens, self._asking_for_ids)

    async def complete(self, prompt: str | Sequence[int], max_tokens: int, **extras: Any) -> dict[str, Any]:
        """Request one greedy completion of a text or of token ids, with its token ids; return the response.

        It ends where the model ends it. `extras` are further request fields, such as vLLM's
        `prompt_logprobs`.
        """
        text_or_ids = prompt if isinstance(prompt, str) else list(prompt)
        request = self._request(text_or_ids, max_tokens) | self._asking_for_ids
        return await self.post(COMPLETIONS, request | extras)

    async def complete_text(
        self, prompt: str | Sequence[int], max_tokens: int, **extras: Any
    ) -> dict[str, Any]:
        """Request a completion as text without ids, from servers that return ids instead of text."""
        text_or_ids = prompt if isinstance(prompt, str) else list(prompt)
        return await self.post(COMPLETIONS, self._request(text_or_ids, max_tokens) | extras)

    async def tokenize(self, text: str, *, special_tokens: bool = True) -> list[int]:
        """Return the token ids of a text by the server's own tokenizer (vLLM's extension /tokenize)."""
        answer = await self.post(
            "/tokenize", {"model": self.endpoint.model, "prompt": text, "add_special_tokens": special_tokens}
        )
        return ids_in(self._field(answer, "tokens"), where=self.endpoint.base_url)

    async def tokenize_chat(self, message: str) -> list[int]:
        """Return the ids of a user's message and of the begin of an answer, by the server's chat template."""
        messages = [{"role": "user", "content": message}]
        answer = await self.post("/tokenize", {"model": self.endpoint.model, "messages": messages})
        return ids_in(self._field(answer, "tokens"), where=self.endpoint.base_url)

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids by the server's own tokenizer (vLLM's extension /detokenize)."""
        answer = await self.post("/detokenize", {"model": self.endpoint.model, "tokens": list(tokens)})
        return str(self._field(answer, "prompt"))

    async def post(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """POST a JSON object, and return the JSON object of the answer."""
        async with self._guarded(), self._session.post(self.endpoint.url(path), json=request) as response:
            await self._refuse_errors(response)
            answer = await response.read()
        return self._object(answer, path)

    def _request(self, prompt: str | list[int], max_tokens: int) -> dict[str, Any]:
        return {
            "model": self.endpoint.model,
            "prompt": prompt,
            "max_tokens": max_tokens,
            **NEUTRAL,
        }

    @property
    def _asking_for_ids(self) -> dict[str, Any]:
        return ASKING_FOR_IDS[self.endpoint.side.serve.generated_ids]

    async def _stream(self, prompt: Sequence[int], max_tokens: int, fields: dict[str, Any]) -> RawStream:
        request = self._request(list(prompt), max_tokens) | fields
        request |= {"stream": True, "stream_options": COUNTED, "ignore_eos": True}
        body = json.dumps(request).encode()
        async with self._guarded():
            sent_ns, stamped = await self._stamped(body)
        return RawStream(sent_ns, tuple(stamped), self.endpoint.url(COMPLETIONS), max_tokens)

    async def _stamped(self, body: bytes) -> tuple[int, list[StampedBytes]]:
        stamped: list[StampedBytes] = []
        sent_ns = perf_counter_ns()
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self.endpoint.url(COMPLETIONS), data=body, headers=headers) as response:
            await self._refuse_errors(response)
            while piece := await response.content.readany():
                stamped.append((perf_counter_ns(), piece))
        return sent_ns, stamped

    async def _refuse_errors(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 200:
            return
        message = server_message(await response.read())
        where = f"{response.method} {response.url} of {self.endpoint.side.name}"
        if 400 <= response.status < 500:
            raise ServerRefusedRequest(
                f"the server refused the request with {response.status}: {message}",
                where=where,
                fix="declare a workload within the limits of the shape, or build with a larger shape",
            )
        raise ServerBroke(
            f"the server answered {response.status}: {message}",
            where=where,
            fix="read the server's log, which is next to that of the run",
        )

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """Turn transport failures and the time limit into this project's errors."""
        where = f"{self.endpoint.base_url} ({self.endpoint.side.name})"
        try:
            async with asyncio.timeout(self._limit_s):
                yield
        except TimeoutError as error:
            raise ServerSilent(
                f"a request did not finish within {self._limit_s:g} s",
                where=where,
                fix="read the server's log; it may hang",
            ) from error
        except aiohttp.ClientError as error:
            raise ServerBroke(
                f"the connection failed: {type(error).__name__}: {error}",
                where=where,
                fix="read the server's log; it may have ended",
            ) from error

    def _object(self, answer: bytes, path: str) -> dict[str, Any]:
        try:
            read = json.loads(answer)
        except ValueError as error:
            raise ServerBroke(
                f"the server's answer is not JSON: {answer[:200]!r}", where=self.endpoint.url(path)
            ) from error
        if not isinstance(read, dict):
            raise ServerBroke(
                f"the server's answer is not a JSON object: {answer[:200]!r}", where=self.endpoint.url(path)
            )
        return read

    def _field(self, answer: dict[str, Any], name: str) -> Any:
        if name not in answer:
            raise ServerBroke(
                f"the answer has no `{name}`: {str(answer)[:200]}", where=self.endpoint.base_url
            )
        return answer[name]


@asynccontextmanager
async def open_client(
    endpoint: Endpoint, *, connections: int | None, request_limit_s: float
) -> AsyncIterator[CompletionsClient]:
    """Open a client with up to `connections` kept-alive connections to one endpoint; None: any number."""
    connector = aiohttp.TCPConnector(limit=connections or 0, keepalive_timeout=KEEPALIVE_S)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
        yield CompletionsClient(endpoint, session, request_limit_s)


def server_message(body: bytes) -> str:
    """Return the message in an error response: `error`, `message`, `detail`, or the start of the body."""
    try:
        read = json.loads(body)
    except ValueError:
        return body[:300].decode(errors="replace")
    if isinstance(read, dict):
        inner = read.get("error", read)
        if isinstance(inner, dict):
            return str(inner.get("message") or inner.get("detail") or inner)
        return str(inner)
    return str(read)
