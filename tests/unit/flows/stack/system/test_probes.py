"""Whether a daemon works: it is the daemon itself that has to answer."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from artifacts.ports import listens
from flows.errors import ComponentFailed
from flows.stack.system.liveness import birth
from flows.stack.system.probes import wait_ready
from flows.stack.system.state import Component

SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200), self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def another_servers_port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def component(process: "subprocess.Popen[str]", port: int, log: Path) -> Component:
    log.write_text("the port is taken")
    url = f"http://127.0.0.1:{port}"
    return Component(name="prefect-server", pid=process.pid, birth=birth(process.pid), url=url, log=str(log))


def test_another_servers_answer_does_not_make_a_daemon_ready(
    another_servers_port: int, tmp_path: Path
) -> None:
    with subprocess.Popen(["sleep", "0.5"], text=True) as process:
        daemon = component(process, another_servers_port, tmp_path / "log")
        with pytest.raises(ComponentFailed, match="ended while starting"):
            wait_ready(daemon, limit_s=60)


def test_a_daemon_that_answers_on_its_own_port_is_ready(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            wait_ready(component(process, port, tmp_path / "log"), limit_s=60)
            assert listens(port, process.pid)
        finally:
            process.kill()
            process.wait()
        assert not listens(port, process.pid)
