"""HTTP around the batcher: one thread per connection, which turns tokens into text and events.

The engine's thread only puts tokens into queues; decoding, JSON and sockets are up to the connection.
"""

import json
import queue
import select
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tasks.workers.completions_server.batch import Batcher, Event, Failed, Sequence
from tasks.workers.completions_server.engine import TokenScore
from tasks.workers.completions_server.protocol import (
    BadRequest,
    Completion,
    RequestLimits,
    choice,
    error_object,
    logprobs_object,
    read_completion,
    usage,
)
from tasks.workers.completions_server.text import Codec, TextStream

MAX_BODY_BYTES = 64 << 20
# How often a connection that waits for a token checks whether its client is still there.
DISCONNECT_POLL_S = 0.25


class EngineFailed(Exception):
    """The engine could not finish a sequence."""


class Gone(Exception):
    """The client closed the connection."""


class Service:
    """What all connections share."""

    def __init__(self, batcher: Batcher, codec: Codec, limits: RequestLimits, model: str) -> None:
        self.batcher = batcher
        self.codec = codec
        self.limits = limits
        self.model = model


class CompletionServer(ThreadingHTTPServer):
    """The listening server; the handlers find the service here."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)
        self.service = service


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: CompletionServer
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Serve requests until the client has no more, or resets the connection."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Log nothing: at a millisecond per token, logging would take most of the time."""

    def do_GET(self) -> None:
        """Answer health checks and the list of models."""
        if self.path == "/health":
            self._send_json(200, {})
        elif self.path == "/v1/models":
            model = {"id": self.server.service.model, "object": "model", "owned_by": "enginery"}
            self._send_json(200, {"object": "list", "data": [model]})
        else:
            self._send_json(404, error_object(f"no such path: {self.path}", None, 404))

    def do_POST(self) -> None:
        """Answer completions."""
        try:
            body = self._read_body()
            if self.path != "/v1/completions":
                raise BadRequest(f"no such path: {self.path}", None, 404)  # noqa: TRY301
            service = self.server.service
            request = read_completion(body, service.limits, service.model, service.codec.encode)
            self._complete(request)
        except BadRequest as error:
            self._send_json(error.status, error_object(str(error), error.param, error.status))
        except EngineFailed as error:
            self._send_json(500, error_object(str(error), None, 500))
        except (Gone, ConnectionError):
            self.close_connection = True

    def _read_body(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            raise BadRequest(f"Content-Length must be a number up to {MAX_BODY_BYTES}")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from None

    def _complete(self, request: Completion) -> None:
        sequence = self.server.service.batcher.submit(request)
        try:
            answer = Answer(self.server.service, request)
            if request.stream:
                self._stream(answer, self._events(sequence))
            else:
                self._send_json(200, answer.whole(list(self._events(sequence))))
        finally:
            sequence.cancelled = True  # without effect on one that is done

    def _events(self, sequence: Sequence) -> Iterator[Event]:
        """Yield tokens as they come, ending with the last.

        Raises:
            EngineFailed: the engine gave up on this sequence.
            Gone: the client closed the connection.
        """
        while True:
            try:
                event = sequence.events.get(timeout=DISCONNECT_POLL_S)
            except queue.Empty:
                self._check_client()
                continue
            if isinstance(event, Failed):
                raise EngineFailed(event.reason)
            yield event
            if event.finish:
                return

    def _check_client(self) -> None:
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise Gone

    def _stream(self, answer: "Answer", events: Iterator[Event]) -> None:
        """Send server-sent events in HTTP chunks, one chunk per token."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in answer.chunks(events):
                self._send_event(json.dumps(chunk, ensure_ascii=False))
        except EngineFailed as error:  # the status line was sent long before
            self._send_event(json.dumps(error_object(str(error), None, 500)))
        self._send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _send_event(self, text: str) -> None:
        data = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _send_json(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Answer:
    """The objects that answer one request."""

    def __init__(self, service: Service, request: Completion) -> None:
        self._service = service
        self._request = request
        self._frame = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": service.model,
        }

    def whole(self, events: list[Event]) -> dict[str, Any]:
        """The complete answer."""
        text = TextStream(self._service.codec, self._request.prompt)
        tokens = [event.token for event in events]
        pieces = [text.push(token) for token in tokens]
        made = choice(
            "".join(pieces) + text.finish(),
            events[-1].finish,
            token_ids=tokens if self._request.return_token_ids else None,
            prompt_token_ids=self._request.prompt if self._request.return_token_ids else None,
            logprobs=self._logprobs(tokens, [event.score for event in events], 0),
        )
        return {**self._frame, "choices": [made], "usage": usage(len(self._request.prompt), len(tokens))}

    def chunks(self, events: Iterator[Event]) -> Iterator[dict[str, Any]]:
        """The answer token by token; if requested, the last chunk counts the tokens, or every chunk does."""
        text = TextStream(self._service.codec, self._request.prompt)
        count = offset = 0
        for event in events:
            piece = text.push(event.token)
            if event.finish:
                piece += text.finish()
            first = self._request.return_token_ids and count == 0
            made = choice(
                piece,
                event.finish,
                token_ids=[event.token] if self._request.return_token_ids else None,
                prompt_token_ids=self._request.prompt if first else None,
                logprobs=self._logprobs([event.token], [event.score], offset),
            )
            count, offset = count + 1, offset + len(piece)
            chunk = {**self._frame, "choices": [made]}
            if self._request.continuous_usage:
                chunk["usage"] = usage(len(self._request.prompt), count)
            yield chunk
        if self._request.include_usage:
            yield {**self._frame, "choices": [], "usage": usage(len(self._request.prompt), count)}

    def _logprobs(
        self, tokens: list[int], scores: list[TokenScore | None], offset: int
    ) -> dict[str, Any] | None:
        known = [score for score in scores if score is not None]
        return logprobs_object(tokens, known, self._service.codec.spell, offset) if known else None
