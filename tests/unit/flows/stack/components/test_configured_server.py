"""A Prefect server that cannot be used is reported with its address, and what to do, after one request."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.errors import PrefectUnreachable
from flows.stack.components import configured_server
from flows.stack.components.configured_server import require_answer


@contextmanager
def server(health: int, version: int) -> Iterator[str]:
    """Yield the address of a server that answers with these statuses."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code = {"/api/health": health, "/api/admin/version": version}[self.path]
            self.send_response(code)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/api"
        running.shutdown()
        thread.join()


def refusal(url: str) -> PrefectUnreachable:
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(PrefectUnreachable) as caught:
        require_answer()
    assert caught.value.exit_code == 5
    assert url in caught.value.where
    return caught.value


@pytest.mark.parametrize(
    ("health", "version", "said", "fix"),
    [
        (200, 401, "denies access (401)", "PREFECT_API_AUTH_STRING"),
        (403, 200, "denies access (403)", "PREFECT_API_AUTH_STRING"),
        (404, 200, "has no API at this address", "name the address of its API"),
        (500, 200, "answers 500", "start it"),
        (503, 200, "answers 503", "start it"),
    ],
)
def test_what_a_server_answers_is_said(health: int, version: int, said: str, fix: str) -> None:
    with server(health, version) as url:
        error = refusal(url)
    assert said in error.what
    assert fix in error.fix


@pytest.mark.parametrize("version", [200, 404])
def test_a_server_that_answers_is_used_even_if_it_does_not_say_its_version(version: int) -> None:
    with server(200, version) as url, temporary_settings({PREFECT_API_URL: url}):
        require_answer()


def test_a_server_that_takes_connections_and_says_nothing_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(configured_server, "ANSWER_LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refusal(f"http://127.0.0.1:{silent.getsockname()[1]}/api")
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert "does not answer" in error.what


@pytest.mark.parametrize("url", ["127.0.0.1", "://", "http://127.0.0.1:port/api", "http://127.0.0.1:99999"])
def test_what_is_not_an_address_is_said_to_be_none(url: str) -> None:
    error = refusal(url)
    assert "is not an address" in error.what
    assert "such as http://127.0.0.1:4200/api" in error.fix
