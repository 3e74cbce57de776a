"""Servers: ready, never ready, dead early, dead late, and gone with their owner."""

import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.paths import ROOT
from support.programs.processes import alive, wait_until

from artifacts.hosts import ServeCommand
from artifacts.ports import free_port
from tasks.errors import (
    PortUnusable,
    ServerNotReady,
    ToolRefused,
    WorkerCancelled,
    WorkerFailed,
    WorkerOutOfMemory,
)
from tasks.toolchains import serving
from tasks.toolchains.run import ports, server

SERVER = Path(__file__).parent / "workers" / "small_server.py"


def recipe(how: str) -> ServeCommand:
    argv = ("{python}", str(SERVER), how, "{host}", "{port}", "{model}")
    return ServeCommand(toolchain="here", argv=argv, env={"RECIPE_SAYS": "hello"}, model="small")


@pytest.fixture
def serve(here, tmp_path):
    """Serves the small server; its lines are kept in `serve.lines`."""

    def serve_it(how, ready_limit_s=30.0, on_line=None):
        return serving(
            here, recipe(how), tmp_path, log=tmp_path / "server.log",
            on_line=on_line or serve_it.lines.append, ready_limit_s=ready_limit_s,
        )  # fmt: skip

    serve_it.lines = []
    return serve_it


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_server_answers_while_its_context_lasts_and_not_after(serve):
    with serve("slow") as running:
        assert get(running.base_url + "/health") == "hello"
        assert running.base_url.startswith("http://127.0.0.1:")
        assert running.model == get(running.base_url + "/name") == "small"
        assert alive(running.pid)
    assert not alive(running.pid)
    with pytest.raises(urllib.error.URLError):
        get(running.base_url)
    assert serve.lines[0].startswith("$ ")
    assert "starting slow" in running.log.read_text()


def test_never_ready_ends_at_the_limit(serve):
    with (
        pytest.raises(ServerNotReady, match=r"not ready within 0\.5 s: no answer on /health"),
        serve("never-ready", 0.5),
    ):
        pytest.fail("an unready server was handed out")


def test_early_death_is_reported_at_once_with_the_tail(serve):
    with pytest.raises(ServerNotReady, match="ended before it was ready") as raised, serve("dies-early", 600):
        pytest.fail("a dead server was handed out")
    assert "exit code 1" in str(raised.value)
    assert "| no weights here" in str(raised.value)


def test_early_death_for_memory_is_out_of_memory(serve):
    with pytest.raises(WorkerOutOfMemory), serve("no-memory"):
        pytest.fail("a dead server was handed out")


def test_early_death_with_a_known_message_gives_cause_and_remedy(serve):
    with (
        pytest.raises(ToolRefused, match="a plan runs only on the architecture it was built on") as raised,
        serve("wrong-gpu"),
    ):
        pytest.fail("a dead server was handed out")
    assert "enginery targets list" in raised.value.fix
    assert "Failed to deserialize" in raised.value.where


def test_taken_port_is_followed_by_another(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serve("taken-once") as running:
        assert get(running.base_url + "/health") == "hello"
    assert any("was taken meanwhile" in line for line in serve.lines)


def test_a_server_of_another_program_is_not_taken_for_ours(serve, monkeypatch):
    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a stranger")

        def log_message(self, *_):
            """Say nothing of requests."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        chosen = iter([stranger.server_port, free_port()])
        monkeypatch.setattr(server, "free_port", lambda: next(chosen))
        with serve("slow") as running:
            assert get(running.base_url + "/health") == "hello"
        stranger.shutdown()
    assert any("was taken meanwhile" in line for line in serve.lines)


def test_a_server_is_started_in_its_own_directory_for_temporary_files(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serve("good") as running:
        directory = Path(f"/proc/{running.pid}/cwd").resolve()
        assert directory != tmp_path
    assert not directory.exists()


def test_death_in_use_is_reported_instead_of_the_clients_error(serve):
    with pytest.raises(WorkerFailed, match="exit code 7") as raised, serve("good") as running:
        get(running.base_url + "/die")
    assert "| asked to die" in raised.value.where
    assert isinstance(raised.value.__context__, OSError)


def test_end_in_use_is_a_failure_even_with_exit_code_0(serve):
    with pytest.raises(WorkerFailed, match="ended by itself with exit code 0"), serve("ends-well") as running:
        wait_until(lambda: not alive(running.pid))


def test_clients_error_with_a_living_server_is_the_clients(serve):
    with pytest.raises(ZeroDivisionError), serve("good") as running:
        raise ZeroDivisionError
    assert not alive(running.pid)


def test_failing_reader_of_lines_does_not_stop_the_server_and_is_not_lost(serve):
    def fail(line):
        if not line.startswith("$"):
            raise LookupError(line)

    with pytest.raises(LookupError, match="starting good"), serve("good", on_line=fail) as running:
        assert get(running.base_url + "/health") == "hello"


def test_supervisor_that_is_asked_to_end_ends_the_server(serve):
    with pytest.raises(WorkerCancelled, match="on request to its supervisor"), serve("good") as running:  # noqa: PT012  the end is waited for
        status = Path(f"/proc/{running.pid}/status").read_text()
        os.kill(int(re.search(r"^PPid:\s+(\d+)$", status, re.MULTILINE)[1]), signal.SIGTERM)
        wait_until(lambda: not alive(running.pid))


def test_two_servers_have_ports_of_their_own(serve):
    with serve("good") as one, serve("good") as other:
        assert one.base_url != other.base_url
        assert get(one.base_url) == get(other.base_url) == "hello"


OWNER = """
import json, sys
from pathlib import Path
from artifacts.hosts.engine import ServeCommand
from tasks.toolchains import Toolchain, run_foreground, serving
python, recipe, how = Path(sys.argv[1]), ServeCommand(**json.loads(sys.argv[2])), sys.argv[3]
paths = {"root": python, "python": python, "bin_dir": python.parent}
here = Toolchain(name="here", identity="0" * 64, versions={}, **paths)
say = lambda line: print(line, flush=True)
if how == "foreground":
    ready = lambda: say("takes requests")
    port = int(sys.argv[4])
    sys.exit(run_foreground(here, recipe, Path.cwd(), "127.0.0.1", port, model="demo", on_ready=ready))
with serving(here, recipe, Path.cwd(), log=Path("log"), on_line=say, ready_limit_s=30):
    say("ready")
    import time
    time.sleep(600)
"""


def owner(how: str, behaviour: str, directory: Path, port: int = 0) -> "subprocess.Popen[str]":
    arguments = [sys.executable, recipe(behaviour).model_dump_json(), how, str(port)]
    repository = str(ROOT)
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, *arguments], cwd=directory, env=os.environ | {"PYTHONPATH": repository},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_server_and_its_children_die_with_their_owner(tmp_path, number):
    with owner("serving", "with-child", tmp_path) as process:
        lines = [process.stdout.readline() for _ in range(4)]
        assert "ready\n" in lines, lines
        child = int(next(line for line in lines if line.startswith("child")).split()[1])
        assert alive(child)
        process.send_signal(number)
    wait_until(lambda: not alive(child))


def test_foreground_forwards_the_signal_and_its_exit_code(tmp_path):
    port = free_port()
    with owner("foreground", "with-child", tmp_path, port) as process:
        process.stdout.readline()
        child = int(process.stdout.readline().split()[1])
        wait_until(lambda: ports.probe(port, "/health"))
        process.send_signal(signal.SIGINT)
    assert process.returncode == 128 + signal.SIGTERM
    assert not alive(child)


@pytest.fixture
def _without_hangups():
    """What this process starts ignores SIGHUP, as with `nohup`."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, previous)


@pytest.mark.usefixtures("_without_hangups")
def test_foreground_outlives_the_terminal_as_its_starter_asked(tmp_path):
    port = free_port()
    with owner("foreground", "good", tmp_path, port) as process:
        wait_until(lambda: ports.probe(port, "/health"))
        process.send_signal(signal.SIGHUP)
        with pytest.raises(OSError):
            get(f"http://127.0.0.1:{port}/die")
    assert process.returncode == 7


def test_foreground_ends_with_the_terminal(tmp_path):
    port = free_port()
    with owner("foreground", "good", tmp_path, port) as process:
        wait_until(lambda: ports.probe(port, "/health"))
        process.send_signal(signal.SIGHUP)
    assert process.returncode == 128 + signal.SIGTERM


def test_foreground_returns_the_servers_exit_code(tmp_path):
    port = free_port()
    with owner("foreground", "good", tmp_path, port) as process:
        wait_until(lambda: ports.probe(port, "/health"))
        with pytest.raises(OSError):
            get(f"http://127.0.0.1:{port}/die")
    assert process.returncode == 7


def test_foreground_announces_a_server_once_it_takes_requests_under_the_name_given(tmp_path):
    port = free_port()
    with owner("foreground", "slow", tmp_path, port) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["starting slow\n", "takes requests\n"]
        assert get(f"http://127.0.0.1:{port}/name") == "demo"
        process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("behaviour", ["never-ready", "dies-early"])
def test_foreground_announces_nothing_where_the_server_never_takes_requests(tmp_path, serve, behaviour):
    # Another server answers on the port: nothing of ours does.
    with serve("good") as other:
        taken = int(other.base_url.rpartition(":")[2])
        port = taken if behaviour == "dies-early" else free_port()
        with owner("foreground", behaviour, tmp_path, port) as process:
            said = [process.stdout.readline()]
            if behaviour == "never-ready":
                wait_until(lambda: answers_busy(port))
                process.send_signal(signal.SIGINT)
            said += process.stdout.readlines()
    assert "takes requests\n" not in said


def answers_busy(port: int) -> bool:
    try:
        get(f"http://127.0.0.1:{port}/health")
    except urllib.error.HTTPError as error:
        return error.code == 503
    except OSError:
        return False
    return False


def test_a_port_that_can_be_taken_is_not_refused():
    ports.require_port("127.0.0.1", free_port())
    ports.require_port("0.0.0.0", free_port())


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("127.0.0.1", 0, "0 is not a port"),
        ("127.0.0.1", 99999, "99999 is not a port"),
        ("127.0.0.1", -1, "-1 is not a port"),
        ("192.0.2.7", 8000, "'192.0.2.7' is not an address that a server can listen on"),
        ("no-such-host.invalid", 8000, "'no-such-host.invalid' is not an address"),
        ("a..b", 8000, "'a..b' is not an address"),
        ("", 8000, "'' is not an address"),
    ],
)
def test_an_address_that_no_server_can_have_is_reported_in_words(host, port, said):
    with pytest.raises(PortUnusable) as raised:
        ports.require_port(host, port)
    assert said in raised.value.what
    assert (raised.value.exit_code, raised.value.fix != "") == (2, True)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_reported_in_words(address):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnusable, match=f"port {port} is taken by another program"):
            ports.require_port(address, port)
