"""Without a stack, a Prefect server is started for one run: it serves that run alone, and ends with it."""

import os
import signal
import sqlite3
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from support.programs.cli import run_cli
from support.programs.processes import wait_until
from support.servers.intruder import Door, as_nobody, ask, knock
from support.servers.prefect_database import FILE, seed_database

from flows.stack.components.prefect_api import PrefectApi
from flows.stack.components.prefect_server import NO_TELEMETRY
from flows.stack.system.processes import OWNER
from flows.stack.system.state import StackPaths

# What a command does before it runs a flow; then the address of the server that the flow would use.
PROGRAM = """
from artifacts.settings import Settings
from flows.cli.context import orchestrator, require_orchestrator
require_orchestrator(Settings())
with orchestrator():
    from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        client.read_work_pools()
        print(client.api_url, flush=True)
        input()
"""
PATHS = ("/api/flow_runs/filter", "/api/block_documents/filter", "/api/admin/settings", "/api/variables/")
HEADERS = {"Content-Type": "application/json"}


@contextmanager
def running(home: Path) -> Iterator[tuple[subprocess.Popen[str], PrefectApi]]:
    """A program with a server of its own."""
    seed_database(home)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        yield program, PrefectApi(program.stdout.readline().strip())
        program.kill()


def environment(home: Path, **more: str) -> dict[str, str]:
    """The user's own database is where such a server looks for it; there is no spec, so nothing to build."""
    prefect_home, specs = StackPaths.below(home).prefect_home, home / "specs"
    for folder in (prefect_home, specs):
        folder.mkdir(parents=True, exist_ok=True)
    own = {
        "ENGINERY_HOME": str(home),
        "ENGINERY_SPECS_DIR": str(specs),
        "PREFECT_HOME": str(prefect_home),
    }
    return {**os.environ, **own, **more}


def port_of(api: PrefectApi) -> int:
    return int(api.url.rpartition(":")[2].partition("/")[0])


def servers_of(pid: int) -> list[psutil.Process]:
    """The servers that a process started, also if it is gone."""
    return [process for process in psutil.process_iter() if owner_of(process) == str(pid)]


def environ_of(program: subprocess.Popen[str]) -> dict[str, str]:
    """The environment of the one server that a program started."""
    [server] = servers_of(program.pid)
    return server.environ()


def owner_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(OWNER)
    except (psutil.Error, OSError):  # another user's, or gone
        return None


def test_the_server_of_one_run_is_closed_to_others_and_reports_to_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as (program, api):
        port = port_of(api)
        served = as_nobody(lambda: knock([Door("temporary", port)], (*PATHS, "/api/health"), HEADERS))
        assert {answer.path for answer in served} == {"/api/health"}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            api.get("admin/settings")
        # A web page's request: one with the browser's login alone, and one from a name that leads here.
        login = environ_of(program)["PREFECT_SERVER_API_AUTH_STRING"]
        known = HEADERS | PrefectApi(api.url, login)._authorization()
        assert ask(port, "GET", "/api/admin/version", known) == 200
        forged = known | {"Prefect-Csrf-Token": "x", "Prefect-Csrf-Client": "x"}
        assert ask(port, "POST", "/api/flow_runs/filter", forged) == 403
        hosts = [f"{name}:{port}" for name in ("127.0.0.1", "evil.example")]
        assert [ask(port, "GET", "/api/health", {"Host": host}) for host in hosts] == [200, 400]
        assert NO_TELEMETRY.items() <= environ_of(program).items()
        program.communicate("\n")
        assert program.returncode == 0
        assert servers_of(program.pid) == []


def test_a_run_that_is_killed_leaves_no_server(tmp_path: Path) -> None:
    with running(tmp_path) as (program, _):
        assert len(servers_of(program.pid)) == 1
        program.send_signal(signal.SIGKILL)
        program.wait()
        wait_until(lambda: servers_of(program.pid) == [])


def test_a_server_that_cannot_start_ends_the_command_with_its_own_words(tmp_path: Path) -> None:
    env = environment(tmp_path)
    (Path(env["PREFECT_HOME"]) / FILE).write_text("not a database, though long enough to be one")
    ended = run_cli("nightly", env=env)
    assert ended.returncode == 5
    assert "Prefect's temporary server ended while starting" in ended.stderr
    assert "file is not a database" in ended.stderr
    assert "internal error" not in ended.stderr


def test_settings_of_prefect_that_forbid_such_a_server_are_kept(tmp_path: Path) -> None:
    env = environment(tmp_path, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE="false")
    ended = run_cli("nightly", env=env)
    assert ended.returncode == 5
    assert "forbid a temporary one" in ended.stderr


def test_a_run_delivers_its_log_before_the_server_ends(tmp_path: Path) -> None:
    seed_database(tmp_path)
    env = environment(tmp_path)
    ended = run_cli("nightly", env=env)
    assert ended.returncode == 0, ended.stderr
    assert "Error logging to API" not in ended.stderr
    assert "View at" not in ended.stderr
    database = Path(env["PREFECT_HOME"]) / FILE
    with closing(sqlite3.connect(database)) as connection:
        states = connection.execute("select state_type from flow_run").fetchall()
        logged = connection.execute("select count(*) from log").fetchone()[0]
    assert states == [("COMPLETED",)]
    assert logged > 0
