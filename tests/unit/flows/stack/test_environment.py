"""What commands learn of the running stack, and what the user's own choices take precedence over."""

import os

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
