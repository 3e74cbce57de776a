"""The local stack on real servers: up, up again, what happens when parts of it are killed, down.

The tests share one stack and bring it back to health themselves, so that each can run alone.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Running
from support.programs.cli import run_cli
from support.programs.processes import alive, wait_until

from artifacts.ports import free_port
from artifacts.settings import Settings
from flows.stack.components import object_store, prefect_server, worker
from flows.stack.environment import stack_environment
from flows.stack.lifecycle import down, up
from flows.stack.status import StackStatus, status
from flows.stack.system.processes import marked
from flows.stack.system.state import StackPaths, read_state, write_state

BringUp = Callable[[], tuple[StackStatus, list[str]]]


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))


def s3(settings: Settings):
    paths = StackPaths.below(settings.home)
    return object_store.client(paths, status(settings).component(object_store.NAME).url)


def test_up_twice_starts_nothing_the_second_time(bring_up: BringUp, stack_settings: Settings) -> None:
    first, _ = bring_up()
    assert first.all_up
    second, said = bring_up()
    assert second == first
    assert said == ["already running"]
    daemons = {process.pid for process in marked(StackPaths.below(stack_settings.home).root)}
    assert {part.pid for part in first.components} <= daemons


def test_another_port_for_what_runs_already_is_not_taken_silently(
    bring_up: BringUp, stack_settings: Settings, project: Path
) -> None:
    first, _ = bring_up()
    said: list[str] = []
    other = free_port()
    assert up(stack_settings, said.append, project=project, prefect_port=other) == first
    assert any(f"to move it to {other}, run `enginery down`" in line for line in said)


def test_status_is_reported_by_another_process_and_the_bucket_is_there(
    bring_up: BringUp, stack_settings: Settings
) -> None:
    bring_up()
    done = run_cli("status", env={"ENGINERY_HOME": str(stack_settings.home)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" up ") == 3
    s3(stack_settings).head_bucket(Bucket=stack_settings.store_bucket)
    exports = run_cli("status", "--env", env={"ENGINERY_HOME": str(stack_settings.home)}).stdout
    secret = stack_environment(stack_settings)["AWS_SECRET_ACCESS_KEY"]
    assert f"export AWS_SECRET_ACCESS_KEY={secret}" in exports


def test_the_ui_asks_its_own_server(bring_up: BringUp) -> None:
    status, _ = bring_up()
    url = status.component(prefect_server.NAME).url
    with urllib.request.urlopen(f"{url}/ui-settings", timeout=10) as response:
        assert json.load(response)["api_url"] == f"{url}/api"


def test_a_killed_store_is_reported_and_comes_back_alone_with_its_objects(
    bring_up: BringUp, stack_settings: Settings
) -> None:
    before, _ = bring_up()
    s3(stack_settings).put_object(Bucket=stack_settings.store_bucket, Key="kept", Body=b"bytes")
    kill(before.component(object_store.NAME).pid)

    done = run_cli("status", env={"ENGINERY_HOME": str(stack_settings.home)})
    assert done.returncode == 5
    assert "is gone" in done.stdout

    after, said = bring_up()
    assert after.all_up
    assert [line for line in said if line.startswith("object-store: restarting")]
    same = (prefect_server.NAME, worker.NAME)
    assert [after.component(name) for name in same] == [before.component(name) for name in same]
    assert after.component(object_store.NAME).url == before.component(object_store.NAME).url
    body = s3(stack_settings).get_object(Bucket=stack_settings.store_bucket, Key="kept")["Body"].read()
    assert body == b"bytes"


def test_a_run_whose_worker_and_process_were_killed_is_settled_by_the_next_up(
    bring_up: BringUp, stack_settings: Settings, tmp_path: Path
) -> None:
    before, _ = bring_up()
    marker = tmp_path / "started"
    run_id = start_run(stack_settings, marker)
    wait_until(marker.exists, limit_s=90)
    pid, _, endpoint = marker.read_text().partition(" ")
    assert endpoint == before.component(object_store.NAME).url

    kill(before.component(worker.NAME).pid)
    kill(int(pid))
    assert state_of(stack_settings, run_id) == "Running"

    after, said = bring_up()
    assert after.component(worker.NAME).pid != before.component(worker.NAME).pid
    assert [line for line in said if line.startswith("worker: restarting")]
    assert state_of(stack_settings, run_id) == "Crashed"


def test_a_deployment_that_somebody_deleted_is_applied_again(
    bring_up: BringUp, stack_settings: Settings
) -> None:
    bring_up()
    with prefect_client(stack_settings) as client:
        client.delete_deployment(client.read_deployment_by_name("sleeper/sleeper").id)
    _, said = bring_up()
    assert [line for line in said if "does not have the deployments sleeper any more" in line]
    with prefect_client(stack_settings) as client:
        assert client.read_deployment_by_name("sleeper/sleeper").work_pool_name == worker.POOL


def test_a_server_whose_database_was_removed_gets_its_pool_and_deployments_again(
    bring_up: BringUp, stack_settings: Settings
) -> None:
    before, _ = bring_up()
    kill(before.component(prefect_server.NAME).pid)
    for file in StackPaths.below(stack_settings.home).prefect_home.glob("prefect.db*"):
        file.unlink()
    after, _ = bring_up()
    assert after.all_up
    with prefect_client(stack_settings) as client:
        assert client.read_deployment_by_name("sleeper/sleeper").work_pool_name == worker.POOL


def test_a_stack_that_a_version_without_locks_started_is_started_again(
    bring_up: BringUp, stack_settings: Settings
) -> None:
    before, _ = bring_up()
    paths = StackPaths.below(stack_settings.home)
    state = read_state(paths)
    for component in state.components.values():
        state = state.with_component(component.model_copy(update={"uses": {}}))
    write_state(paths, state)
    after, said = bring_up()
    assert after.all_up
    assert len([line for line in said if "restarting" in line]) == 3
    assert not {part.pid for part in before.components} & {part.pid for part in after.components}


def test_a_stack_whose_interpreter_is_gone_is_started_again_by_another_one(
    bring_up: BringUp, stack_settings: Settings, tmp_path: Path
) -> None:
    before, _ = bring_up()
    paths = StackPaths.below(stack_settings.home)
    state = read_state(paths)
    started_with = state.components[worker.NAME].program
    assert started_with == sys.executable
    gone = {"program": str(tmp_path / "removed" / "python")}
    write_state(paths, state.with_component(state.components[worker.NAME].model_copy(update=gone)))
    after, said = bring_up()
    assert [line for line in said if "removed/python, with which it was started, is gone" in line]
    assert after.component(worker.NAME).pid != before.component(worker.NAME).pid
    assert after.component(prefect_server.NAME) == before.component(prefect_server.NAME)


def test_a_stack_of_another_installation_is_left_alone_and_named(
    bring_up: BringUp, stack_settings: Settings, tmp_path: Path
) -> None:
    before, _ = bring_up()
    paths = StackPaths.below(stack_settings.home)
    state = read_state(paths)
    other = tmp_path / "python"
    other.touch()
    server = state.components[prefect_server.NAME].model_copy(update={"program": str(other)})
    write_state(paths, state.with_component(server))
    after, said = bring_up()
    assert after == before
    assert [line for line in said if line.startswith(f"prefect-server runs with {other}; to use")]
    write_state(paths, state)


def test_a_killed_up_leaves_nothing_that_down_does_not_end(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    paths = StackPaths.below(settings.home)
    argv = [sys.executable, "-c", "from flows.cli.main import main; main()", "up"]
    env = {**os.environ, "ENGINERY_HOME": str(settings.home)}
    with subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL) as starting:
        wait_until(lambda: object_store.NAME in read_state(paths).components, limit_s=60)
        starting.kill()
    started = marked(paths.root)
    down(settings, lambda line: None)
    assert marked(paths.root) == []
    assert [process.pid for process in started if alive(process.pid)] == []
    assert {one.state for one in status(settings).components} == {"down"}


def test_down_ends_every_process_and_only_ours(bring_up: BringUp, stack_settings: Settings) -> None:
    bring_up()
    root = StackPaths.below(stack_settings.home).root
    ours = marked(root)
    assert len(ours) >= 3
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
    try:
        assert down(stack_settings, lambda line: None) >= 3
        assert [process.pid for process in ours if alive(process.pid)] == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert {one.state for one in status(stack_settings).components} == {"down"}
    assert down(stack_settings, lambda line: None) == 0
    assert stack_environment(stack_settings) == {}


def test_down_names_the_runs_of_commands_that_lose_their_server(
    bring_up: BringUp, stack_settings: Settings
) -> None:
    @flow
    def command() -> None:
        """Is never called: only its run is made."""

    bring_up()
    with prefect_client(stack_settings) as client:
        run = client.create_flow_run(command)
        client.set_flow_run_state(run.id, Running(), force=True)
        client.update_flow_run(run.id, infrastructure_pid=f"{socket.gethostname()}:{os.getpid()}")
    said: list[str] = []
    down(stack_settings, said.append)
    loses = f"run {run.name} of process {os.getpid()} loses its server and will fail"
    assert [line for line in said if line.startswith(loses)]


def test_damaged_credentials_do_not_keep_a_stack_from_being_stopped_or_renewed(
    bring_up: BringUp, stack_settings: Settings
) -> None:
    before, _ = bring_up()
    paths = StackPaths.below(stack_settings.home)
    paths.prefect_auth_file.write_text("")
    said: list[str] = []
    assert down(stack_settings, said.append) >= 3
    assert [line for line in said if "orphaned runs are still open" in line]
    assert {one.state for one in status(stack_settings).components} == {"down"}
    paths.prefect_auth_file.unlink()
    after, _ = bring_up()
    assert after.all_up
    assert after.component(prefect_server.NAME).url == before.component(prefect_server.NAME).url


@contextmanager
def prefect_client(settings: Settings) -> Iterator[SyncPrefectClient]:
    ours = stack_environment(settings)
    server = {setting: ours[setting.name] for setting in (PREFECT_API_URL, PREFECT_API_AUTH_STRING)}
    with temporary_settings(server), get_client(sync_client=True) as client:
        yield client


def start_run(settings: Settings, marker: Path) -> UUID:
    """Ask for a run of the deployment, as the UI does."""
    parameters = {"marker": str(marker), "seconds": 120}
    with prefect_client(settings) as client:
        deployment = client.read_deployment_by_name("sleeper/sleeper")
        return client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id


def state_of(settings: Settings, run_id: UUID) -> str:
    with prefect_client(settings) as client:
        state = client.read_flow_run(run_id).state
    assert state is not None
    return str(state.name)
