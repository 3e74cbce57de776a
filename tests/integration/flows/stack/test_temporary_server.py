"""Without a stack, Prefect starts a server for the one run: it takes requests from that run alone."""

import os
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest
from support.servers.intruder import Door, as_nobody, knock
from support.servers.prefect_database import seed_database

from artifacts.settings import Settings
from flows.stack.components.prefect_api import PrefectApi
from flows.stack.system.state import StackPaths

# What a command does before it runs a flow; then the server that a flow would start, and its address.
PROGRAM = """
from artifacts.settings import Settings
from flows.cli.context import use_orchestrator
use_orchestrator(Settings())
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    client.read_work_pools()
    print(client.api_url, flush=True)
    input()
"""
PATHS = ("/api/flow_runs/filter", "/api/block_documents/filter", "/api/admin/settings", "/api/variables/")


def test_the_server_of_one_run_is_closed_to_others(settings: Settings, tmp_path: Path) -> None:
    seed_database(settings.home)
    # The database, where such a server looks for the user's own.
    env = {**os.environ, "PREFECT_HOME": str(StackPaths.below(settings.home).prefect_home)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        api = PrefectApi(program.stdout.readline().strip())
        port = int(api.url.rpartition(":")[2].partition("/")[0])
        headers = {"Content-Type": "application/json"}
        served = as_nobody(lambda: knock([Door("temporary", port)], (*PATHS, "/api/health"), headers))
        assert {answer.path for answer in served} == {"/api/health"}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            api.get("admin/settings")
        program.communicate("\n")
    assert program.returncode == 0
