"""Schedules fire: the server makes runs of them, the worker starts these, and they end."""

from datetime import UTC, datetime, timedelta

import pytest
from support.programs.cli import run_cli
from support.programs.processes import ASKING_S, wait_until
from support.servers.own_stack import Stack

from flows.stack.components import worker
from flows.stack.components.schedule import next_nightly

# No host has the eight GPUs of it and runs these tests; what a host cannot build, the nightly run skips.
ELSEWHERE = "llama-3.3-70b-instruct"
LIMIT_S = 90


def test_a_worker_is_ready_once_the_server_knows_its_pool(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker.has_pool(stack.api)
    monkeypatch.setattr(worker, "POOL", "of-a-worker-that-only-just-starts")
    assert not worker.has_pool(stack.api)


def test_a_run_of_nightly_is_scheduled_and_the_commands_report_it(stack: Stack) -> None:
    wait_until(lambda: next_nightly(stack.api).time is not None, limit_s=LIMIT_S, every_s=ASKING_S)
    coming = next_nightly(stack.api).time
    assert coming is not None
    assert (coming.hour, coming.minute) == (2, 17)
    said = f"{coming:%Y-%m-%d %H:%M} UTC"
    env = {"ENGINERY_HOME": str(stack.settings.home)}
    status = run_cli("status", env=env)
    assert f"next nightly run: {said}" in status.stdout
    assert f"log in with {stack.auth_string}" in status.stderr
    assert stack.auth_string not in run_cli("status", "--json", env=env).stdout
    doctor = run_cli("doctor", "--only", "services", env=env).stdout
    assert said in next(line for line in doctor.splitlines() if " schedule " in line)


def test_a_schedule_starts_a_run_that_ends_and_the_server_logs_no_error(stack: Stack) -> None:
    deployment = stack.api.get("deployments/name/nightly/nightly")
    first = datetime.now(UTC) + timedelta(seconds=15)
    # Again and again: on a busy machine the first time may be over before the scheduler looks.
    often = {"interval": 60, "anchor_date": first.isoformat()}
    schedule = {"schedule": often, "active": True, "parameters": {"specs": [ELSEWHERE]}}
    stack.api.post(f"deployments/{deployment['id']}/schedules", [schedule])
    wanted = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}},
    }
    wait_until(
        lambda: bool(stack.api.post("flow_runs/filter", wanted)), limit_s=LIMIT_S + 120, every_s=ASKING_S
    )
    # Others use this stack after this test.
    stack.api.post(f"deployments/{deployment['id']}/pause_deployment", {})
    run = stack.api.post("flow_runs/filter", wanted)[0]
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["auto_scheduled"]
    assert run["parameters"] == {"specs": [ELSEWHERE]}
    for name in ("prefect-server", "worker"):
        log = stack.paths.log(name).read_text()
        assert "| ERROR" not in log, log
        assert "Traceback" not in log, log
