"""What commands learn of the running stack, and what the user's own choices take precedence over."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.settings import Settings
from flows.stack.components import object_store, prefect_server
from flows.stack.environment import local_environment, stack_environment
from flows.stack.system.liveness import birth
from flows.stack.system.state import Component, StackPaths, StackState, write_state


@pytest.fixture
def running(settings: Settings) -> Settings:
    """Settings with a record of a stack whose daemons live (all of them are this very process)."""
    paths, own = StackPaths.below(settings.home), birth(os.getpid())
    state = StackState()
    for name, url in ((object_store.NAME, "http://127.0.0.1:1"), (prefect_server.NAME, "http://127.0.0.1:2")):
        state = state.with_component(Component(name=name, pid=os.getpid(), birth=own, url=url, log=""))
    write_state(paths, state)
    return settings


def test_a_running_stack_is_offered(running: Settings) -> None:
    found = local_environment(running, {})
    assert found["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:1"
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:2/api"
    assert found["PREFECT_API_AUTH_STRING"] == prefect_server.auth_string(StackPaths.below(running.home))
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == object_store.credentials(
        StackPaths.below(running.home)
    )


@pytest.mark.parametrize(
    "name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"]
)
def test_a_store_of_the_users_own_is_never_mixed_with_ours(running: Settings, name: str) -> None:
    found = local_environment(running, {name: "mine"})
    assert [key for key in found if key.startswith("AWS_")] == []
    assert "PREFECT_API_URL" in found


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE"])
def test_a_prefect_server_of_the_users_own_is_kept(running: Settings, name: str) -> None:
    found = local_environment(running, {name: "mine"})
    assert [key for key in found if key.startswith("PREFECT_")] == []
    assert "AWS_ENDPOINT_URL_S3" in found


def test_no_stack_offers_nothing_and_makes_no_files(settings: Settings) -> None:
    assert local_environment(settings, {}) == {}
    assert not settings.home.exists()


def test_a_dead_component_offers_nothing(running: Settings) -> None:
    paths = StackPaths.below(running.home)
    dead = Component(
        name=prefect_server.NAME, pid=os.getpid(), birth="other", url="http://127.0.0.1:2", log=""
    )
    write_state(paths, StackState().with_component(dead))
    assert stack_environment(running) == {}


def test_a_server_for_one_run_reports_to_nobody_and_asks_for_credentials(settings: Settings) -> None:
    probe = (
        "import json, os; from artifacts.settings import Settings;"
        "from flows.cli.context import use_orchestrator; use_orchestrator(Settings());"
        "print(json.dumps(dict(os.environ)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert {name: seen[name] for name in prefect_server.NO_TELEMETRY} == prefect_server.NO_TELEMETRY
    assert len(seen["PREFECT_API_AUTH_STRING"]) > 32
    assert seen["PREFECT_SERVER_API_AUTH_STRING"] == seen["PREFECT_API_AUTH_STRING"]


def test_a_server_that_a_profile_names_is_left_its_credentials(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    )
    probe = (
        "import os; from flows.stack.components.prefect_server import protect_temporary_server;"
        "protect_temporary_server();"
        "print(sorted(name for name in os.environ if 'AUTH_STRING' in name))"
    )
    env = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", probe], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
