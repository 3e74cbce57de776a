"""Trees, actions and measurements against a real S3 server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.servers import proxy
from support.servers.seaweed import S3Server
from support.stores.buckets import in_any_bucket
from support.stores.trees import random_tree

from artifacts.canonical import digest_of
from artifacts.errors import AlreadyExists, IntegrityError, NotFound
from artifacts.settings import Settings
from artifacts.store import Action, Listing, Store, blob_key, compare, new_measurement, open_store
from artifacts.store.trees import scan

Overwrite = Callable[[str, bytes], None]
MIB = 1 << 20
# S3 takes parts of 5 MiB and more; smaller chunks than the default make many of them out of few bytes.
PART_BYTES = 5 * MIB
TREE = {"a/b.bin": 3 * MIB, "empty": 0, "run.sh": 10, "same/one": 100, "same/two": 100, "x/y/é ü\n.txt": 5}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return random_tree(tmp_path / "tree", TREE, executable=("run.sh",))


def action(document: dict[str, object], *, host: str = "here", stage: str = "build") -> Action:
    return Action(
        stage=stage,
        fingerprint=digest_of(document),
        document=document,
        spec="demo",
        variant="v2",
        tree="0" * 64,
        duration_s=1.5,
        host=host,
        created_at=datetime.now(UTC),
    )


def stored_keys(store: Store) -> list[str]:
    return list(store.bucket.keys(""))


@in_any_bucket
@pytest.mark.parametrize("writable", [False, True])
def test_a_tree_comes_back_as_it_was(store: Store, tree: Path, tmp_path: Path, writable: bool) -> None:
    listing = store.put_tree(tree)
    assert store.materialize(listing.digest, tmp_path / "copy", writable=writable) == listing
    assert scan(tmp_path / "copy") == scan(tree) == listing
    assert os.access(tmp_path / "copy" / "run.sh", os.X_OK)


@in_any_bucket
def test_blobs_and_listings_stand_where_any_s3_tool_finds_them(store: Store, tree: Path) -> None:
    listing = store.put_tree(tree)
    blobs = {f"blobs/sha256/{file.sha256}" for file in listing.files}
    assert set(stored_keys(store)) == blobs | {f"trees/sha256/{listing.digest}"}
    assert store.get_listing(listing.digest) == listing


@in_any_bucket
def test_a_large_file_goes_up_in_parts_and_comes_back(store: Store, tmp_path: Path) -> None:
    root = random_tree(tmp_path / "tree", {"large": 2 * PART_BYTES + 7})
    listing = scan(root, chunk_bytes=PART_BYTES)
    sent: list[int] = []
    store.upload(root, listing, sent.append)
    assert sorted(sent) == [7, PART_BYTES, PART_BYTES]
    store.materialize(listing.digest, tmp_path / "copy")
    assert compare(tmp_path / "copy", listing) == ""


def test_only_missing_blobs_are_sent(store: Store, s3_server: S3Server, tree: Path) -> None:
    store.put_tree(tree)
    (tree / "new").write_bytes(b"new")
    with proxy.before(s3_server.endpoint) as between, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
        listing = open_store(Settings()).put_tree(tree)
        open_store(Settings()).put_tree(tree)
    assert len(between.blob_requests("PUT")) == 1
    assert store.missing_of(listing.digest) == ()


@in_any_bucket
def test_a_file_that_changes_after_it_was_read_is_not_stored(store: Store, tree: Path) -> None:
    listing = scan(tree)
    data = bytearray((tree / "run.sh").read_bytes())
    data[0] ^= 1
    (tree / "run.sh").write_bytes(data)
    with pytest.raises(IntegrityError, match="other bytes than announced"):
        store.upload(tree, listing)
    assert store.missing_of(listing.digest) == ("its listing is missing",)


@in_any_bucket
def test_a_part_that_changes_after_it_was_read_leaves_no_object(store: Store, tmp_path: Path) -> None:
    root = random_tree(tmp_path / "tree", {"large": 2 * PART_BYTES})
    listing = scan(root, chunk_bytes=PART_BYTES)
    with (root / "large").open("r+b") as file:
        file.seek(PART_BYTES + 1)
        file.write(b"other")
    with pytest.raises(IntegrityError):
        store.upload(root, listing)
    assert stored_keys(store) == []


@in_any_bucket
def test_racing_uploads_of_one_tree_all_succeed(store: Store, tmp_path: Path) -> None:
    root = random_tree(tmp_path / "tree", {"large": 2 * PART_BYTES, "small": 100})
    listing = scan(root, chunk_bytes=PART_BYTES)
    with ThreadPoolExecutor(4) as pool:
        for upload in [pool.submit(store.upload, root, listing) for _ in range(4)]:
            upload.result()
    store.materialize(listing.digest, tmp_path / "copy")


def test_an_upload_that_is_killed_leaves_no_tree_and_the_next_one_finishes_it(
    store: Store, s3_server: S3Server, tmp_path: Path
) -> None:
    root = random_tree(tmp_path / "tree", {f"{number:02}": MIB for number in range(24)})
    code = "import sys, pathlib; from artifacts import settings, store\n"
    code += "store.open_store(settings.Settings()).put_tree(pathlib.Path(sys.argv[1]))"
    with proxy.before(s3_server.endpoint) as between:
        between.allowance_bytes = 14 * MIB
        environment = {**os.environ, "AWS_ENDPOINT_URL_S3": between.endpoint}
        process = subprocess.Popen([sys.executable, "-c", code, str(root)], env=environment)
        while not stored_keys(store) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    keys = stored_keys(store)
    assert 1 <= len(keys) < 24
    assert not any(key.startswith("trees/") for key in keys)
    listing = store.put_tree(root)
    store.materialize(listing.digest, tmp_path / "copy")


@in_any_bucket
@pytest.mark.parametrize("body", [b"flipped", b"{}", b""])
def test_a_damaged_listing_is_refused(store: Store, overwrite: Overwrite, tree: Path, body: bytes) -> None:
    listing = store.put_tree(tree)
    empty = Listing(files=()).model_dump_json().encode()
    overwrite(f"trees/sha256/{listing.digest}", empty if body == b"{}" else body)
    with pytest.raises(IntegrityError) as caught:
        store.get_listing(listing.digest)
    assert listing.digest in str(caught.value)


@in_any_bucket
def test_a_tree_that_is_not_there_is_reported(store: Store, tmp_path: Path) -> None:
    assert store.missing_of("0" * 64) == ("its listing is missing",)
    with pytest.raises(NotFound):
        store.materialize("0" * 64, tmp_path / "copy")


@in_any_bucket
def test_a_damaged_blob_is_never_materialized(
    store: Store, elsewhere: Store, overwrite: Overwrite, tree: Path, tmp_path: Path
) -> None:
    listing = store.put_tree(tree)
    victim = listing.files[0]
    data = bytearray((tree / victim.path).read_bytes())
    data[17] ^= 1
    overwrite(blob_key(victim.sha256), bytes(data))
    with pytest.raises(IntegrityError, match=r"a/b\.bin is damaged in the store"):
        elsewhere.materialize(listing.digest, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    overwrite(blob_key(victim.sha256), (tree / victim.path).read_bytes())
    elsewhere.materialize(listing.digest, tmp_path / "copy")


@in_any_bucket
@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_a_damaged_cache_entry_is_replaced_from_the_store(
    store: Store, settings: Settings, tree: Path, tmp_path: Path, how: str
) -> None:
    listing = store.put_tree(tree)
    cached = next(settings.cache_dir.glob(f"sha256/*/{listing.files[0].sha256}"))
    cached.chmod(0o644)
    if how == "flip":
        with cached.open("r+b") as file:
            file.seek(1000)
            file.write(b"other")
    elif how == "truncate":
        os.truncate(cached, 5)
    else:
        cached.unlink()
    store.materialize(listing.digest, tmp_path / "copy")
    assert scan(tmp_path / "copy") == listing


def test_what_was_downloaded_before_is_not_downloaded_again(
    store: Store, elsewhere: Store, s3_server: S3Server, tree: Path, tmp_path: Path
) -> None:
    listing = store.put_tree(tree)
    elsewhere.materialize(listing.digest, tmp_path / "first")
    with proxy.before(s3_server.endpoint) as between, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
        warm = Store(open_store(Settings()).bucket, elsewhere.cache)
        warm.materialize(listing.digest, tmp_path / "copy")
    assert between.requests
    assert between.blob_requests("GET") == []


@in_any_bucket
def test_hard_links_are_read_only_and_copies_leave_the_cache_alone(
    store: Store, tree: Path, tmp_path: Path
) -> None:
    listing = store.put_tree(tree)
    store.materialize(listing.digest, tmp_path / "links")
    store.materialize(listing.digest, tmp_path / "copies", writable=True)
    assert (tmp_path / "links" / "a" / "b.bin").stat().st_mode & 0o222 == 0
    (tmp_path / "copies" / "a" / "b.bin").write_bytes(b"mine")
    assert scan(tmp_path / "links") == listing


@in_any_bucket
def test_the_same_bytes_with_and_without_the_executable_bit_live_together(
    store: Store, tmp_path: Path
) -> None:
    root = random_tree(tmp_path / "tree", {"plain": 10})
    (root / "program").write_bytes((root / "plain").read_bytes())
    (root / "program").chmod(0o755)
    listing = store.put_tree(root)
    for copy in ("cold", "warm"):
        store.materialize(listing.digest, tmp_path / copy)
        assert scan(tmp_path / copy) == listing
    store.put_tree(tmp_path / "warm", consume=True)
    assert scan(tmp_path / "cold") == listing


@in_any_bucket
def test_nothing_is_put_over_a_directory_that_holds_something(
    store: Store, tree: Path, tmp_path: Path
) -> None:
    listing = store.put_tree(tree)
    with pytest.raises(AlreadyExists):
        store.materialize(listing.digest, tree)
    (tmp_path / "empty").mkdir()
    store.materialize(listing.digest, tmp_path / "empty")


@in_any_bucket
def test_the_first_of_racing_actions_wins_and_all_get_it(store: Store) -> None:
    actions = [action({"a": 1}, host=f"host-{number}") for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        winners = set(pool.map(lambda one: store.write_action(one).host, actions))
    stored = store.read_action("build", digest_of({"a": 1}))
    assert stored is not None
    assert winners == {stored.host}


@in_any_bucket
def test_an_action_is_replaced_only_on_purpose(store: Store) -> None:
    first, second = (action({"a": 1}, host=host) for host in ("first", "second"))
    store.write_action(first)
    assert store.write_action(second) == first
    assert store.write_action(second, replace=True) == second
    assert store.read_action("build", first.fingerprint) == second


@in_any_bucket
def test_an_action_is_read_by_stage_and_fingerprint(store: Store) -> None:
    written = store.write_action(action({"a": 1}))
    assert store.read_action("build", written.fingerprint) == written
    assert store.read_action("fetch", written.fingerprint) is None


@in_any_bucket
def test_the_last_action_is_the_one_used_last_made_or_not(store: Store) -> None:
    assert store.last_action("demo", "v2", "build") is None
    first, second = (store.write_action(action({"a": number})) for number in (1, 2))
    for used in (first, second, first):
        store.remember_action("demo", "v2", used)
    assert store.last_action("demo", "v2", "build") == first
    assert store.last_action("demo", "v3", "build") is None


@in_any_bucket
def test_measurements_are_appended_and_come_oldest_first(store: Store) -> None:
    made = [
        new_measurement("judged", {"a": 1}, {"round": number}, conclusive=True, device_s=1.0)
        for number in range(3)
    ]
    for one in reversed(made):
        store.append_measurement(one.key, one)
    assert store.measurements(made[0].key) == tuple(made)
    assert store.measurements(digest_of({"a": 2})) == ()
    with pytest.raises(ValueError, match="has key"):
        store.append_measurement("0" * 64, made[0])


def test_a_prefix_keeps_two_stores_in_one_bucket_apart(
    store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINERY_STORE_PREFIX", "team/a")
    other = open_store(Settings())
    listing = other.put_tree(tree)
    assert store.missing_of(listing.digest) == ("its listing is missing",)
    assert stored_keys(store) == []
    assert {key.partition("/")[0] for key in other.bucket.keys("")} == {"blobs", "trees"}
