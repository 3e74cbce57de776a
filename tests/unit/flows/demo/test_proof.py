"""What a pulled engine is asked for: every kind's server answers, with ids or without."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from artifacts.hosts import ServeCommand
from flows.demo.proof import Generated, complete
from tasks.toolchains import Server

OWN_FIELD: dict[str, str] = {"with-text": "return_token_ids", "instead-of-text": "detokenize"}


def answer_of(ids: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The answer of a server that refuses the fields of others, as TensorRT-LLM's does."""
    foreign = set(asked) - {"model", "prompt", "max_tokens", "temperature", OWN_FIELD[ids]}
    assert not foreign, foreign
    named = {"token_ids": [5, 6]} if asked.get("return_token_ids") else {}
    return {"choices": [{"text": " x", **named}], "usage": {"completion_tokens": 2}}


@pytest.mark.parametrize(("ids", "named"), [("with-text", (5, 6)), ("instead-of-text", ())])
def test_servers_of_both_ways_to_return_ids_continue_the_prompt(
    ids: Literal["with-text", "instead-of-text"], named: tuple[int, ...]
) -> None:
    class Completions(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(answer_of(ids, asked)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    serve = ServeCommand(toolchain="t", argv=("a",), model="m", generated_ids=ids)
    with HTTPServer(("127.0.0.1", 0), Completions) as listening:
        threading.Thread(target=listening.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{listening.server_port}"
        server = Server(base_url=url, model="m", pid=1, log=Path("log"), ready_s=1.0)
        assert complete(server, serve) == Generated(text=" x", token_ids=named, tokens=2)
