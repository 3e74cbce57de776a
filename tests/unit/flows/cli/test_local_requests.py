"""Servers of this host are asked without the proxy that a host needs to reach all others."""

import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.cli.local_requests import bypass_proxies
from flows.cli.main import exit_code_of

PROXY = "http://127.0.0.1:9"


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_program_reaches_servers_of_this_host_whatever_proxy_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.setenv("http_proxy", PROXY)
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()

        def ask() -> int:
            opener = urllib.request.build_opener()  # urlopen's would keep this proxy for later tests
            with opener.open(f"http://127.0.0.1:{server.server_port}/", timeout=10) as answer:
                return int(answer.status != 200)

        assert exit_code_of(ask) == 0


@pytest.mark.parametrize(
    ("given", "after"),
    [
        ({"HTTPS_PROXY": PROXY}, "127.0.0.1,localhost"),
        ({"http_proxy": PROXY, "NO_PROXY": "hub.corp, localhost"}, "hub.corp,localhost,127.0.0.1"),
        ({"http_proxy": PROXY, "no_proxy": "a", "NO_PROXY": "b"}, "a,127.0.0.1,localhost"),
    ],
)
def test_what_the_user_excepts_stays(given: dict[str, str], after: str) -> None:
    environ = dict(given)
    bypass_proxies(environ)
    assert (environ["no_proxy"], environ["NO_PROXY"]) == (after, after)


@pytest.mark.parametrize("given", [{}, {"no_proxy": "a"}, {"http_proxy": PROXY, "no_proxy": "*"}])
def test_where_nothing_is_to_be_done_nothing_is_set(given: dict[str, str]) -> None:
    environ = dict(given)
    bypass_proxies(environ)
    assert environ == given
