"""Fetching from a Hub that refuses, breaks off, or sends other bytes than it declares."""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.checkpoints.repositories import SHARDS, sharded_model
from support.servers.hub_faults import Fault, FaultyHub

from flows.demo import hub_server
from tasks.errors import CheckpointCorrupt, CheckpointUnavailable, HubUnreachable
from tasks.hub import HubAccess, Repository, checkpoint
from tasks.hub.checkpoint import fetch, metadata
from tasks.hub.transfer import blobs as downloads
from tasks.hub.transfer import retry_after

TINY = Repository(kind="model", id="acme/tiny")
SHARD = f"*/{SHARDS[1]}"

StartHub = Callable[..., FaultyHub]
AccessTo = Callable[..., HubAccess]


def quiet(_line: str) -> None:
    pass


def commit_of(hub: FaultyHub) -> str:
    return hub.repos["model", TINY.id].commit


def part_of(hub: FaultyHub, access: HubAccess) -> Path:
    """Where the beginning of the second shard is kept."""
    file = hub.repos["model", TINY.id].file(SHARDS[1])
    assert file is not None
    part = access.cache_dir / "models--acme--tiny" / "blobs" / f"{file.sha256}.part"
    part.parent.mkdir(parents=True)
    return part


def other_cache(hub: FaultyHub, tmp_path: Path) -> HubAccess:
    return HubAccess(endpoint=hub.url, cache_dir=tmp_path / "other-cache")


def blobs(access: HubAccess) -> set[str]:
    return {path.name for path in access.cache_dir.glob("*/blobs/*")}


@pytest.mark.parametrize("path", [SHARDS[1], "tokenizer.json"])
def test_a_flipped_byte_is_noticed_and_the_file_is_fetched_again(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path, path: str
) -> None:
    source = sharded_model(hub_root)
    hub = start_hub(Fault("flip", f"*/{path}", times=1))
    said: list[str] = []
    fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), said.append)
    assert (tmp_path / "dest" / path).read_bytes() == (source / path).read_bytes()
    assert hub.count("GET", f"*/{path}") == 2
    assert any(path in line and "removed from the cache" in line for line in said)


def test_bytes_that_stay_wrong_are_refused_and_leave_no_trace_in_the_cache(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    sharded_model(hub_root)
    hub = start_hub(Fault("flip", SHARD))
    access = access_to(hub)
    with pytest.raises(CheckpointCorrupt, match=f"{SHARDS[1]} arrived damaged twice: has sha256") as refusal:
        fetch(TINY, commit_of(hub), tmp_path / "dest", access, quiet)
    bad = hub.repos["model", TINY.id].file(SHARDS[1])
    assert bad is not None
    assert bad.etag not in blobs(access)
    assert TINY.id in refusal.value.where
    assert refusal.value.exit_code == 6


def test_a_cache_that_was_damaged_on_disk_is_mended(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    source = sharded_model(hub_root)
    hub = start_hub()
    access = access_to(hub)
    fetch(TINY, commit_of(hub), tmp_path / "first", access, quiet)
    cached = next(access.cache_dir.glob(f"*/snapshots/*/{SHARDS[0]}")).resolve()
    cached.write_bytes(bytes(cached.stat().st_size))
    fetch(TINY, commit_of(hub), tmp_path / "second", access, quiet)
    assert (tmp_path / "second" / SHARDS[0]).read_bytes() == (source / SHARDS[0]).read_bytes()


def test_a_connection_that_breaks_off_is_taken_up_again_where_it_broke(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    source = sharded_model(hub_root)
    hub = start_hub(Fault("truncate", SHARD, times=2))
    fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), quiet)
    content = (source / SHARDS[1]).read_bytes()
    assert (tmp_path / "dest" / SHARDS[1]).read_bytes() == content
    half = len(content) // 2
    assert hub.starts(SHARD) == ["0", str(half), str((half + len(content)) // 2)]


def test_long_files_are_asked_for_in_several_ranges(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sharded_model(hub_root)
    hub = start_hub()
    size_bytes = (source / SHARDS[1]).stat().st_size
    monkeypatch.setattr(downloads, "RANGE_BYTES", size_bytes // 3 + 1)
    fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), quiet)
    assert (tmp_path / "dest" / SHARDS[1]).read_bytes() == (source / SHARDS[1]).read_bytes()
    assert len(hub.starts(SHARD)) == 3


def test_a_server_without_ranges_sends_the_file_from_its_first_byte(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    source = sharded_model(hub_root)
    hub = start_hub(Fault("truncate", SHARD, times=1), Fault("no-ranges", SHARD))
    fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), quiet)
    assert (tmp_path / "dest" / SHARDS[1]).read_bytes() == (source / SHARDS[1]).read_bytes()


@pytest.mark.parametrize("kept", [b"other bytes than the Hub has", bytes(1 << 20)])
def test_wrong_bytes_of_an_earlier_download_are_noticed_and_fetched_again(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path, kept: bytes
) -> None:
    source = sharded_model(hub_root)
    hub = start_hub()
    access = access_to(hub)
    part = part_of(hub, access)
    part.write_bytes(kept)
    fetch(TINY, commit_of(hub), tmp_path / "dest", access, quiet)
    assert (tmp_path / "dest" / SHARDS[1]).read_bytes() == (source / SHARDS[1]).read_bytes()
    assert not part.exists()


def test_bytes_that_are_kept_take_no_further_space(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sharded_model(hub_root)
    hub = start_hub()
    needed: list[int] = []
    monkeypatch.setattr(checkpoint, "require_space", lambda _folder, count: needed.append(count))
    content = (source / SHARDS[1]).read_bytes()
    for kept in (0, 1000, len(content) + 1):
        access = HubAccess(endpoint=hub.url, cache_dir=tmp_path / str(kept))
        part_of(hub, access).write_bytes(content[:kept] + bytes(max(0, kept - len(content))))
        fetch(TINY, commit_of(hub), tmp_path / f"dest-{kept}", access, quiet)
    assert needed[0] - needed[1] == 1000
    assert needed[0] - needed[2] == len(content)


@pytest.mark.parametrize("pattern", ["/api/models/*", "*/config.json", SHARD])
def test_a_web_page_in_place_of_an_answer_means_that_the_hub_is_out_of_reach(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path, pattern: str
) -> None:
    sharded_model(hub_root)
    hub = start_hub(Fault("html", pattern))
    for ask in (metadata, partial(fetch, dest=tmp_path / "dest")):
        with pytest.raises(HubUnreachable) as refusal:
            ask(TINY, commit_of(hub), access=access_to(hub), say=quiet)
        assert refusal.value.exit_code == 5
        assert hub.url in refusal.value.where
        assert "HF_ENDPOINT" in refusal.value.fix


@pytest.mark.parametrize("said", [[], {}, {"id": "acme/tiny", "siblings": [{}]}, 3, None])
def test_json_that_is_no_listing_means_that_the_hub_is_out_of_reach(
    hub_root: Path,
    start_hub: StartHub,
    access_to: AccessTo,
    monkeypatch: pytest.MonkeyPatch,
    said: object,
) -> None:
    sharded_model(hub_root)
    hub = start_hub()
    monkeypatch.setattr(hub_server, "_info", lambda _repo, blobs: said)
    with pytest.raises(HubUnreachable, match="what answers is not the Hub"):
        metadata(TINY, commit_of(hub), access_to(hub), quiet)


@pytest.mark.parametrize("pattern", ["/api/models/*", "*/config.json", SHARD])
def test_whoever_asks_to_come_back_is_asked_again_then(
    hub_root: Path,
    start_hub: StartHub,
    access_to: AccessTo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
) -> None:
    sharded_model(hub_root)
    waits: list[float] = []
    monkeypatch.setattr(retry_after.time, "sleep", waits.append)
    again = Fault("busy", pattern, times=2, headers=(("Retry-After", "7"),))
    hub = start_hub(again)
    fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), quiet)
    assert [wait for wait in waits if wait] == [7.0, 7.0]
    hub.faults.append(Fault("busy", pattern, headers=(("Retry-After", "5000"),)))
    with pytest.raises(HubUnreachable, match="429") as refusal:
        fetch(TINY, commit_of(hub), tmp_path / "other", other_cache(hub, tmp_path), quiet)
    assert "wait 5000 s" in refusal.value.fix
    assert sum(waits) < 15


def test_a_file_that_stays_short_is_refused(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)
    sharded_model(hub_root)
    hub = start_hub(Fault("short", SHARD))
    with pytest.raises(CheckpointCorrupt, match="arrives incomplete") as refusal:
        fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), quiet)
    assert SHARDS[1] in refusal.value.where


@pytest.mark.parametrize(
    ("token", "what", "fix"),
    [(None, "no token was given", "set HF_TOKEN"), ("other", "no access to it", "ask for access")],
)
def test_a_gated_repository_says_what_is_missing(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, token: str | None, what: str, fix: str
) -> None:
    sharded_model(hub_root, mode="gated", tokens=["accepted"])
    hub = start_hub()
    with pytest.raises(CheckpointUnavailable, match=f"gated.*{what}") as refusal:
        metadata(TINY, commit_of(hub), access_to(hub, token), quiet)
    assert fix in refusal.value.fix
    assert metadata(TINY, commit_of(hub), access_to(hub, "accepted"), quiet).config


@pytest.mark.parametrize("token", [None, "other"])
def test_a_private_repository_looks_missing_and_the_message_says_both(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, token: str | None
) -> None:
    sharded_model(hub_root, mode="private", tokens=["accepted"])
    hub = start_hub()
    with pytest.raises(CheckpointUnavailable, match="no such repository, or it is private"):
        metadata(TINY, commit_of(hub), access_to(hub, token), quiet)


def test_missing_repository_revision_and_file_each_have_their_own_error(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    sharded_model(hub_root)
    hub = start_hub(Fault("missing", "*/tokenizer.json"))
    access = access_to(hub)
    with pytest.raises(CheckpointUnavailable, match="no such repository") as repository:
        metadata(Repository(kind="model", id="acme/nothing"), "0" * 40, access, quiet)
    assert repository.value.exit_code == 4
    with pytest.raises(CheckpointUnavailable, match="no such commit"):
        metadata(TINY, "0" * 40, access, quiet)
    with pytest.raises(CheckpointUnavailable, match="does not have it") as file:
        fetch(TINY, commit_of(hub), tmp_path / "dest", access, quiet)
    assert "tokenizer.json" in file.value.where
    with pytest.raises(CheckpointUnavailable, match="not a repository id"):
        metadata(Repository(kind="model", id="acme//tiny"), "0" * 40, access, quiet)


@pytest.mark.parametrize("pattern", ["/api/models/*", SHARD])
def test_a_hub_that_fails_is_distinguished_from_one_that_refuses(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path, pattern: str
) -> None:
    sharded_model(hub_root)
    hub = start_hub(Fault("status", pattern))
    with pytest.raises(HubUnreachable, match="answers 500") as refusal:
        fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), quiet)
    assert "start again" in refusal.value.fix


def test_a_hub_that_does_not_answer_is_given_up_soon(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo
) -> None:
    sharded_model(hub_root)
    hub = start_hub(Fault("hang", "/api/*"))
    with pytest.raises(HubUnreachable, match="does not answer in time") as refusal:
        metadata(TINY, commit_of(hub), access_to(hub, timeout_s=0.3), quiet)
    assert hub.url in refusal.value.where


def test_a_hub_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        access = HubAccess(endpoint=endpoint, cache_dir=tmp_path)
        with pytest.raises(HubUnreachable, match="cannot be reached") as refusal:
            metadata(TINY, "0" * 40, access, quiet)
    assert endpoint in refusal.value.where
    assert "HF_ENDPOINT" in refusal.value.fix
