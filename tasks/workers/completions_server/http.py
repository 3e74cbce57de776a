"""HTTP around the batcher: one thread per connection, which turns tokens into text and events.

The engine's thread only puts tokens into queues; decoding, JSON and sockets are up to the connection.
"""

import json
import queue
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tasks.workers.completions_server.batching.batch import Batcher, Event, Failed, Sequence
from tasks.workers.completions_server.engine import Engine
from tasks.workers.completions_server.protocol.answers import Answer
from tasks.workers.completions_server.protocol.choices import Choice, Codec, Piece
from tasks.workers.completions_server.protocol.errors import BadRequest, error_object
from tasks.workers.completions_server.protocol.reading import Served, read_chat, read_completion
from tasks.workers.completions_server.protocol.records import Request
from tasks.workers.completions_server.protocol.values import read_json

READERS = {"/v1/completions": read_completion, "/v1/chat/completions": read_chat}
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_BODY_BYTES = 64 << 20
# How often a connection that waits for a token checks whether its client is still there.
DISCONNECT_POLL_S = 0.25
# Names of ignored fields come from clients, so only so many are reported.
MOST_REPORTED = 100


class EngineFailed(Exception):
    """The engine could not finish a sequence."""


class Gone(Exception):
    """The client closed the connection."""


class Service:
    """What all connections share.

    Args:
        batcher: takes sequences.
        codec: of the checkpoint.
        served: what requests are checked against.
        engine: its rows, and the tokens that end a sequence.
    """

    def __init__(self, batcher: Batcher, codec: Codec, served: Served, engine: Engine) -> None:
        self.batcher = batcher
        self.codec = codec
        self.served = served
        self.eos = engine.eos_token_ids
        self.rows = engine.limits.max_batch_size
        self.started = int(time.time())
        self._reported: set[str] = set()

    def models(self) -> dict[str, Any]:
        """The list of models, with the one that there is."""
        name = self.served.model
        model = {"id": name, "object": "model", "created": self.started, "owned_by": "enginery"}
        return {
            "object": "list",
            "data": [{**model, "root": name, "max_model_len": self.served.limits.max_seq_len}],
        }

    def metrics(self) -> str:
        """What the server did and does, in Prometheus' text form."""
        running, waiting = self.batcher.load()
        return self.batcher.metrics.render(
            self.served.model, running=running, waiting=waiting, rows=self.rows
        )

    def report_ignored(self, fields: tuple[str, ...]) -> None:
        """Log unknown fields, each once."""
        new = [name for name in fields if name not in self._reported][: MOST_REPORTED - len(self._reported)]
        if new:
            self._reported.update(new)
            print(f"requests have fields that are ignored: {', '.join(map(repr, new))}", flush=True)


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
        """Answer health checks, the list of models, and metrics."""
        service = self.server.service
        if self.path == "/health":
            self._send_json(200, {})
        elif self.path == "/v1/models":
            self._send_json(200, service.models())
        elif self.path == "/metrics":
            self._send(200, METRICS_TYPE, service.metrics().encode())
        else:
            self._send_json(404, error_object(f"no such path: {self.path}", None, 404))

    def do_POST(self) -> None:
        """Answer completions and chats."""
        try:
            body = self._read_body()
            if self.path not in READERS:
                raise BadRequest(f"no such path: {self.path}", None, 404)  # noqa: TRY301
            service = self.server.service
            request = READERS[self.path](body, service.served)
            service.report_ignored(request.ignored)
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
        return read_json(self.rfile.read(int(length)))

    def _complete(self, request: Request) -> None:
        service = self.server.service
        sequences = service.batcher.submit(*request.generations)
        try:
            answer = Answer(request, service.served.model, service.codec.spell)
            pieces = self._pieces(request, sequences)
            if request.form.stream:
                self._stream(answer, pieces)
            else:
                self._send_json(200, answer.whole(pieces))
        finally:
            for sequence in sequences:
                sequence.leave("abort")  # without effect on one that is done

    def _pieces(self, request: Request, sequences: list[Sequence]) -> Iterator[Piece]:
        """Yield what tokens add to the choices as they come, until all choices are complete.

        Raises:
            EngineFailed: the engine gave up on a sequence.
            Gone: the client closed the connection.
        """
        service = self.server.service
        choices = {
            index: Choice(request, index, service.codec, service.eos) for index in range(len(sequences))
        }
        for event in self._events(sequences[0]):
            choice = choices.get(event.choice)
            if choice is None:  # a token behind a stop string
                continue
            piece = choice.take(event.token, event.score, event.finish)
            if piece.finish:
                sequences[piece.choice].leave("stop")
                del choices[piece.choice]
            yield piece
            if not choices:
                return

    def _events(self, sequence: Sequence) -> Iterator[Event]:
        """Yield tokens of all sequences of a request as they come, and check now and then for the client."""
        check_at = time.monotonic() + DISCONNECT_POLL_S
        while True:
            try:
                event = sequence.events.get(timeout=DISCONNECT_POLL_S)
            except queue.Empty:
                event = None
            if isinstance(event, Failed):
                raise EngineFailed(event.reason)
            if event is not None:
                yield event
            if (now := time.monotonic()) >= check_at:
                self._check_client()
                check_at = now + DISCONNECT_POLL_S

    def _check_client(self) -> None:
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise Gone

    def _stream(self, answer: Answer, pieces: Iterator[Piece]) -> None:
        """Send server-sent events in HTTP chunks, one chunk per token."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in answer.chunks(pieces):
                self._send_event(json.dumps(chunk, ensure_ascii=False))
        except EngineFailed as error:  # the status line was sent long before
            self._send_event(json.dumps(error_object(str(error), None, 500)))
        self._send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _send_event(self, text: str) -> None:
        data = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _send_json(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(content, ensure_ascii=False).encode())

    def _send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
