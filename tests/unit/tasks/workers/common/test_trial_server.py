"""A server on trial: what it leaves behind is ended with it, and what it spent is known."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs.processes import alive, wait_until

from tasks.workers.common import trial_server
from tasks.workers.common.trial_server import TrialServer, free_port

PROGRAM = """
import http.server, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
sum(range(10_000_000))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_processes_that_outlive_their_server_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_server, "END_LIMIT_S", 0.5)
    port = free_port()
    with TrialServer([sys.executable, "-c", PROGRAM, str(port)], os.environ, tmp_path) as server:
        assert server.await_ready(port, "/health") > 0
        child = int(server.lines[0])
        assert alive(child)
    wait_until(lambda: not alive(child), 10)
    assert server.processor_s > 0


def test_a_server_runs_as_the_user_that_is_asked_for(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    argv = ["/usr/bin/id", "-u"]
    with TrialServer(argv, {}, "/", user=(65534, 65534)) as server:
        server._process.wait()
    assert server.lines[-1] == "65534"
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == "0"
