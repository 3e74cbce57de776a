"""What the store lost or let rot: found, named, and put back."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.programs.cli import run_here
from support.servers import proxy
from support.servers.seaweed import S3Server
from support.stores.releases import published, variant
from support.stores.trees import random_tree

from artifacts.errors import ArtifactError, IntegrityError, NotFound
from artifacts.hosts import HostFacts
from artifacts.releases import Release, inspect_release, list_releases, pull_release
from artifacts.releases.releases import publish, release_key
from artifacts.settings import Settings
from artifacts.store import Listing, Store, blob_key, open_store
from artifacts.store.trees import scan

Overwrite = Callable[[str, bytes], None]
Remove = Callable[[str], None]
MIB = 1 << 20
PART_BYTES = 5 * MIB
PAGE_KEYS = 1000
SIZES = {"model.pt2": 100_000, "server/serve.py": 50, "empty": 0, "run": 10}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return random_tree(tmp_path / "tree", SIZES)


@pytest.fixture
def demo(store: Store, tree: Path, tmp_path: Path) -> Release:
    """demo@1.4.0 with an engine, a checkpoint and a report, all in the store."""
    checkpoint = store.put_tree(random_tree(tmp_path / "checkpoint", {"config.json": 20}, seed=1)).digest
    report = store.put_tree(random_tree(tmp_path / "report", {"report.html": 30}, seed=2)).digest
    engine = store.put_tree(tree).digest
    return published(store, variant("v2", engine, checkpoint_tree=checkpoint, report=report))


def key_of(root: Path, path: str) -> str:
    return blob_key(next(file.sha256 for file in scan(root).files if file.path == path))


@pytest.mark.parametrize("harm", ["missing", "short", "long"])
def test_a_blob_that_is_lost_or_of_another_size_is_reported_and_put_back(
    store: Store,
    elsewhere: Store,
    overwrite: Overwrite,
    remove: Remove,
    tree: Path,
    tmp_path: Path,
    harm: str,
) -> None:
    digest, key = store.put_tree(tree).digest, key_of(tree, "model.pt2")
    assert store.missing_of(digest) == ()
    said = {
        "missing": "model.pt2 is missing",
        "short": "model.pt2 has 5 bytes instead of 100000",
        "long": "model.pt2 has 100001 bytes instead of 100000",
    }
    if harm == "missing":
        remove(key)
    else:
        overwrite(key, b"short" if harm == "short" else (tree / "model.pt2").read_bytes() + b"\0")
    assert store.missing_of(digest) == (said[harm],)
    with pytest.raises(
        IntegrityError, match=r"model\.pt2 is missing|has \d+ bytes instead of 100000|ends ear"
    ):
        elsewhere.materialize(digest, tmp_path / "before")
    store.put_tree(tree)
    assert store.missing_of(digest) == ()
    elsewhere.materialize(digest, tmp_path / "copy")


def test_a_large_blob_of_another_size_is_replaced_in_parts(
    store: Store, overwrite: Overwrite, tmp_path: Path
) -> None:
    root = random_tree(tmp_path / "tree", {"large": 2 * PART_BYTES + 7})
    listing = scan(root, chunk_bytes=PART_BYTES)
    overwrite(blob_key(listing.files[0].sha256), b"short")
    store.upload(root, listing)
    store.materialize(listing.digest, tmp_path / "copy")


@pytest.mark.parametrize("body", [b"flipped", b"{}", b""])
def test_a_damaged_listing_is_reported_and_put_back(
    store: Store, overwrite: Overwrite, tree: Path, body: bytes
) -> None:
    digest = store.put_tree(tree).digest
    other = Listing(files=()).model_dump_json().encode()
    overwrite(f"trees/sha256/{digest}", other if body == b"{}" else body)
    assert store.missing_of(digest) == ("its listing is damaged",)
    store.put_tree(tree)
    assert store.missing_of(digest) == ()


def test_rotten_bytes_are_replaced_where_what_is_stored_is_read_too(
    store: Store, elsewhere: Store, overwrite: Overwrite, tree: Path, tmp_path: Path
) -> None:
    digest = store.put_tree(tree).digest
    overwrite(key_of(tree, "model.pt2"), bytes(100_000))
    store.put_tree(tree)
    with pytest.raises(IntegrityError, match=r"model\.pt2 is damaged in the store"):
        elsewhere.materialize(digest, tmp_path / "rotten")
    store.put_tree(tree, recheck=True)
    elsewhere.materialize(digest, tmp_path / "copy")


def test_a_release_whose_tree_lost_a_blob_is_not_published(store: Store, remove: Remove, tree: Path) -> None:
    digest = store.put_tree(tree).digest
    remove(key_of(tree, "run"))
    with pytest.raises(
        NotFound, match=r"variant v2 is missing from the store, or incomplete: run is missing"
    ):
        published(store, variant("v2", digest))
    assert list_releases(store, "demo") == ()


def test_a_lost_blob_ends_a_pull_as_what_it_is(
    store: Store, demo: Release, remove: Remove, tree: Path, tmp_path: Path
) -> None:
    remove(key_of(tree, "model.pt2"))
    with pytest.raises(IntegrityError, match=r"blob of model\.pt2 is missing from the store") as caught:
        pull_release(store, "demo@1.4", tmp_path / "root", facts=HostFacts(machine="x86_64", cpu_features=()))
    assert caught.value.exit_code == 6


def test_presence_is_asked_in_as_few_requests_as_possible(
    store: Store, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = random_tree(tmp_path / "many", {f"{number:02}": 10 + number for number in range(40)})
    few = random_tree(tmp_path / "few", {f"{number}": 10 + number for number in range(2)}, seed=1)
    whole, lacking = (store.put_tree(root) for root in (many, few))
    others = [blob_key(hashlib.sha256(b"%d" % number).hexdigest()) for number in range(2 * PAGE_KEYS + 100)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.bucket.put(key, b"x"), others))
    with proxy.before(s3_server.endpoint) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
        before = open_store(Settings())
        assert before.missing_of(whole.digest) == ()
        assert len(between.requests) == 1 + 3  # the listing of the tree, and three pages of all blobs
        between.requests.clear()
        assert before.missing_of(lacking.digest) == ()
        assert len(between.requests) <= 1 + 1 + 2
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)


def test_presence_is_right_wherever_the_blobs_stand_among_others(
    store: Store, remove: Remove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artifacts.store.holdings.PAGE_KEYS", 10)
    for count in (1, 2, 3, 30):
        root = random_tree(tmp_path / str(count), {f"{number:02}": 100 + number for number in range(count)})
        listing = store.put_tree(root)
        assert store.missing_of(listing.digest) == ()
        for file in listing.files[:: max(1, count // 3)]:
            remove(blob_key(file.sha256))
        lost = {f"{file.path} is missing" for file in listing.files[:: max(1, count // 3)]}
        assert set(store.missing_of(listing.digest)) == lost
        store.put_tree(root)
        assert store.missing_of(listing.digest) == ()
    store.bucket.put("blobs/sha256/zz-no-digest", b"stray")
    assert store.missing_of(listing.digest) == ()


def test_an_intact_release_is_read_to_its_end(store: Store, demo: Release) -> None:
    seen: list[tuple[int, int]] = []
    intact = inspect_release(store, demo, lambda done, total: seen.append((done, total)))
    total = sum(SIZES.values()) + 20 + 30
    assert (intact.trees, intact.blobs, intact.total_bytes) == (3, 6, total)
    assert max(seen) == (total, total)


def test_verify_names_every_object_that_is_missing_or_damaged(
    store: Store, demo: Release, overwrite: Overwrite, remove: Remove, tree: Path, tmp_path: Path
) -> None:
    ended = run_here("verify", "--store", "demo@1.4")
    assert (ended.returncode, ended.stdout) == (
        0,
        "demo@1.4.0: 3 trees, 6 blobs, 100.1 kB in the store: intact\n",
    )
    rotten, short = key_of(tree, "model.pt2"), key_of(tree, "server/serve.py")
    lost, listing = key_of(tmp_path / "checkpoint", "config.json"), f"trees/sha256/{demo.variants[0].report}"
    overwrite(rotten, bytes(100_000))
    overwrite(short, b"short")
    remove(lost)
    remove(listing)
    ended = run_here("verify", "--store", "demo@1.4")
    assert ended.returncode == 6
    prefix = os.environ["ENGINERY_STORE_PREFIX"]
    for key, said in (
        (rotten, "model.pt2 is damaged"),
        (short, "server/serve.py has 5 bytes instead of 50"),
        (lost, "config.json is missing"),
        (listing, "there is no such object"),
    ):
        (line,) = [line for line in ended.stderr.splitlines() if f"{prefix}/{key}: " in line]
        assert said in line
    assert "4 of 8 objects" in ended.stderr
    assert key_of(tree, "run") not in ended.stderr


def test_verify_takes_one_thing(store: Store, tmp_path: Path) -> None:
    for words in ((), (tmp_path, "--store", "demo")):
        ended = run_here("verify", *words)
        assert (ended.returncode, "enginery verify --store REF" in ended.stderr) == (2, True)


def test_no_advice_destroys_anything(
    store: Store, elsewhere: Store, demo: Release, overwrite: Overwrite, tree: Path, tmp_path: Path
) -> None:
    """Damage of every kind of object, and what is said of it."""
    engine = demo.variants[0].tree or ""
    measured = f"measurements/{'0' * 64}/1.json"
    reported: list[ArtifactError] = []
    for key, ask in (
        (key_of(tree, "model.pt2"), lambda: elsewhere.materialize(engine, tmp_path / "copy")),
        (key_of(tree, "run"), lambda: elsewhere.read_file(engine, "run")),
        (f"trees/sha256/{engine}", lambda: store.get_listing(engine)),
        (f"actions/build/{'0' * 64}.json", lambda: store.read_action("build", "0" * 64)),
        (release_key("demo", "1.4.0"), lambda: publish(store, demo.model_copy(update={"variants": ()}))),
        (measured, lambda: inspect_release(store, demo)),
    ):
        overwrite(key, b"damaged")
        with pytest.raises(IntegrityError) as caught:
            ask()
        reported.append(caught.value)
    for error in reported:
        assert not {"delete", "remove", "overwrite"} & set(str(error).lower().replace(".", " ").split())
        assert error.fix
