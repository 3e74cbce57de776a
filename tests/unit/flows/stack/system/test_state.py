"""The record of the stack: written whole, read strictly, private where it must be."""

import json
import stat
from pathlib import Path

import pytest

from flows.errors import CredentialsDamaged, FlowError
from flows.stack.components import object_store, prefect_server
from flows.stack.system.state import Component, StackPaths, StackState, read_state, write_state

WORKER = Component(name="worker", pid=1, birth="b:2", url="http://127.0.0.1:1", log="w.log")


@pytest.fixture
def paths(tmp_path: Path) -> StackPaths:
    return StackPaths.below(tmp_path)


def test_what_is_written_is_read_back(paths: StackPaths) -> None:
    state = StackState(ports={"s3": 8333}).with_component(WORKER)
    write_state(paths, state)
    assert read_state(paths) == state
    assert [path.name for path in paths.root.iterdir()] == ["state.json"]


def test_nothing_recorded_is_an_empty_state(paths: StackPaths) -> None:
    assert read_state(paths) == StackState()


@pytest.mark.parametrize("text", ["{", '{"components": {}, "surprise": 1}'])
def test_a_damaged_record_says_where_it_is_and_what_to_do(paths: StackPaths, text: str) -> None:
    paths.root.mkdir()
    paths.state_file.write_text(text)
    with pytest.raises(FlowError, match=r"state\.json[\s\S]*enginery up"):
        read_state(paths)


def test_forgetting_one_component_keeps_the_ports() -> None:
    state = StackState(ports={"s3": 8333}).with_component(WORKER).without("worker")
    assert state.components == {}
    assert state.ports == {"s3": 8333}


def test_credentials_are_made_once_and_readable_by_their_owner_only(paths: StackPaths) -> None:
    first = object_store.credentials(paths)
    assert object_store.credentials(paths) == first
    assert stat.S_IMODE(paths.credentials_file.stat().st_mode) == 0o600
    assert len(first[1]) >= 30
    identity = json.loads(paths.credentials_file.read_text())["identities"][0]
    assert identity["credentials"] == [{"accessKey": first[0], "secretKey": first[1]}]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"identities": []}', '{"identities": [{"credentials": [7]}]}']
)
def test_damaged_keys_of_the_store_say_where_they_are_and_what_to_do(paths: StackPaths, text: str) -> None:
    paths.root.mkdir()
    paths.credentials_file.write_text(text)
    with pytest.raises(CredentialsDamaged, match=r"s3\.json[\s\S]*remove the file, then run `enginery up`"):
        object_store.credentials(paths)


@pytest.mark.parametrize("login", [b"", b"\n", b"enginery", b"enginery:", b"a:b\nc", b"\xff\xfe:x"])
def test_a_damaged_login_says_where_it_is_and_what_to_do(paths: StackPaths, login: bytes) -> None:
    paths.root.mkdir()
    paths.prefect_auth_file.write_bytes(login)
    with pytest.raises(CredentialsDamaged, match=r"prefect\.auth[\s\S]*remove the file"):
        prefect_server.auth_string(paths)


def test_a_login_that_somebody_wrote_with_an_editor_is_taken(paths: StackPaths) -> None:
    paths.root.mkdir()
    paths.prefect_auth_file.write_text("me:my:secret\n")
    assert prefect_server.auth_string(paths) == "me:my:secret"


def test_two_stacks_have_different_credentials(tmp_path: Path) -> None:
    one, two = StackPaths.below(tmp_path / "one"), StackPaths.below(tmp_path / "two")
    assert object_store.credentials(one) != object_store.credentials(two)
