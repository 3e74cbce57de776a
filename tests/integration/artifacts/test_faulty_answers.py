"""What becomes of answers that are longer, shorter or other than asked: whole or reported, never wrong."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import answers, proxy
from support.servers.seaweed import S3Server, s3_client
from support.stores.releases import published, variant
from support.stores.trees import random_tree

from artifacts.errors import Conflict, IntegrityError, StoreUnreachable
from artifacts.hosts import HostFacts
from artifacts.releases import pull_release, verify_install
from artifacts.settings import Settings
from artifacts.store import Listing, Store, blob_key, compare, new_measurement, open_store, verify
from artifacts.store.trees import scan

HOST = HostFacts(machine="x86_64", cpu_features=())
CHUNK_BYTES = 4096
# Many chunks, a short last one, one file that is a single chunk, and one that is smaller.
SIZES = {"model.pt2": 5 * CHUNK_BYTES + 7, "weights": 3 * CHUNK_BYTES, "one": CHUNK_BYTES, "small": 100}
SHARE = 0.1
# Of each of the faults below; they meet about 23, 7 and 6 faulty answers.
PULLS, CACHED, SMALL = 20, 10, 20
RANGE_FAULTS = (
    answers.overlong,
    answers.overlong_chunked,
    answers.range_ignored,
    answers.another_range,
    answers.another_etag,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return random_tree(tmp_path / "source", SIZES)


@pytest.fixture
def listing(store: Store, source: Path) -> Listing:
    """The tree of demo@1.4.0, in chunks that S3 would not take as parts: its blobs are sent whole."""
    listing = scan(source, chunk_bytes=CHUNK_BYTES)
    for file in listing.files:
        store.bucket.put(blob_key(file.sha256), (source / file.path).read_bytes())
    store.upload(source, listing)
    published(store, variant("v2", listing.digest))
    return listing


@pytest.fixture
def between(s3_server: S3Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[proxy.Proxy]:
    """A proxy before the S3 server; the environment names it from now on."""
    with proxy.before(s3_server.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


@pytest.fixture
def whole(s3_server: S3Server) -> answers.Whole:
    """Reads an object past the proxy, by its path."""
    client = s3_client(s3_server)

    def read(path: str) -> bytes:
        bucket, _, key = path.lstrip("/").partition("/")
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()

    return read


@pytest.mark.parametrize("fault", RANGE_FAULTS)
def test_pulls_through_a_faulty_path_end_whole_or_reported(
    listing: Listing, between: proxy.Proxy, whole: answers.Whole, tmp_path: Path, fault: answers.Fault
) -> None:
    between.alter(fault, SHARE, whole)
    store, ended = open_store(Settings()), []
    for number in range(PULLS):
        root = tmp_path / str(number)
        try:
            pulled = pull_release(store, "demo@1.4.0", root, facts=HOST)
        except (StoreUnreachable, IntegrityError):
            assert not (root / "demo" / "1.4.0" / "v2").exists()
            ended.append("reported")
        else:
            verify(pulled.directory, listing)
            ended.append("whole")
    assert between.altered
    assert ended.count("whole") > PULLS / 2


@pytest.mark.parametrize("fault", RANGE_FAULTS)
def test_trees_that_come_into_the_cache_that_way_are_whole_or_reported(
    listing: Listing, between: proxy.Proxy, whole: answers.Whole, tmp_path: Path, fault: answers.Fault
) -> None:
    between.alter(fault, SHARE, whole)
    ended = []
    for number in range(CACHED):
        store = open_store(Settings(cache_dir=tmp_path / f"cache-{number}"))
        try:
            store.materialize(listing.digest, tmp_path / str(number))
        except (StoreUnreachable, IntegrityError):
            assert not (tmp_path / str(number)).exists()
            ended.append("reported")
        else:
            verify(tmp_path / str(number), listing)
            ended.append("whole")
    assert between.altered
    assert ended.count("whole") > CACHED / 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (answers.overlong, r"bytes=\d+-\d+ with \d+ bytes instead of \d+"),
        (answers.overlong_chunked, r"bytes=\d+-\d+ with more than \d+ bytes"),
        (answers.range_ignored, "with status 200 instead of 206"),
        (answers.another_range, "with the range 'bytes "),
        (answers.another_etag, "is damaged in the store"),
    ],
)
def test_a_path_that_always_does_so_installs_nothing_and_is_named(
    listing: Listing,
    between: proxy.Proxy,
    whole: answers.Whole,
    tmp_path: Path,
    fault: answers.Fault,
    said: str,
) -> None:
    between.alter(fault, 1.0, whole)
    with pytest.raises((StoreUnreachable, IntegrityError), match=said):
        pull_release(open_store(Settings()), "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert not (tmp_path / "root" / "demo" / "1.4.0" / "v2").exists()


def test_an_object_that_changes_its_etag_in_between_is_asked_again(
    listing: Listing, between: proxy.Proxy, whole: answers.Whole, tmp_path: Path
) -> None:
    # Of one chunk of a file that has several: only there is another answer to compare it with.
    once = iter([True])

    def one_other_etag(
        request: proxy.Request, answer: answers.Answer, body: answers.Whole
    ) -> answers.Answer | None:
        chosen = request.start > 0 and next(once, False)
        return answers.only_another_etag(request, answer, body) if chosen else None

    between.alter(one_other_etag, 1.0, whole)
    pulled = pull_release(open_store(Settings()), "demo@1.4.0", tmp_path / "root", facts=HOST)
    verify(pulled.directory, listing)
    chunks = sum(len(file.chunks) for file in listing.files)
    assert between.altered == 1
    assert len([one for one in between.blob_requests("GET") if one.length]) > chunks


def test_a_chunk_that_is_overwritten_after_it_was_verified_is_found(
    store: Store, listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite

    def elsewhere(descriptor: int, data: memoryview, offset: int) -> int:
        if offset > CHUNK_BYTES:
            write(descriptor, b"other", 10)  # in the first chunk, which the last pull left there whole
        return write(descriptor, data, offset)

    partial = tmp_path / "root" / "demo" / "1.4.0" / ".enginery" / "partial" / listing.digest
    partial.mkdir(parents=True)
    first = (tmp_path / "source" / "model.pt2").read_bytes()[:CHUNK_BYTES]
    (partial / "model.pt2").write_bytes(first)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", elsewhere)
        with pytest.raises(IntegrityError, match="is not what was written to it"):
            pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert not (tmp_path / "root" / "demo" / "1.4.0" / "v2").exists()
    verify_install(pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST).directory)


def test_what_does_not_belong_to_the_tree_is_not_installed_with_it(
    store: Store, listing: Listing, tmp_path: Path
) -> None:
    partial = tmp_path / "root" / "demo" / "1.4.0" / ".enginery" / "partial" / listing.digest
    partial.mkdir(parents=True)
    (partial / "sitecustomize.py").write_text("print('not of this tree')")
    with pytest.raises(IntegrityError, match=r"sitecustomize\.py does not belong to the tree"):
        pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert not (tmp_path / "root" / "demo" / "1.4.0" / "v2").exists()


@pytest.mark.parametrize("fault", [answers.broken_body, answers.flipped_bit, answers.no_json])
def test_small_objects_that_break_in_transit_are_read_again(
    listing: Listing, between: proxy.Proxy, whole: answers.Whole, tmp_path: Path, fault: answers.Fault
) -> None:
    between.alter(fault, SHARE, whole)
    store = open_store(Settings())
    for number in range(SMALL):
        pulled = pull_release(store, "demo@1.4.0", tmp_path / str(number), facts=HOST)
        assert compare(pulled.directory, listing) == ""
    assert between.altered


@pytest.mark.parametrize("fault", [answers.broken_body, answers.no_json])
def test_what_breaks_in_transit_each_time_is_not_called_damaged(
    listing: Listing, between: proxy.Proxy, whole: answers.Whole, tmp_path: Path, fault: answers.Fault
) -> None:
    between.alter(fault, 1.0, whole)
    with pytest.raises(StoreUnreachable) as caught:
        pull_release(open_store(Settings()), "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert "damaged" not in str(caught.value)


def test_a_measurement_whose_answer_was_lost_is_kept_once(
    store: Store, between: proxy.Proxy, whole: answers.Whole
) -> None:
    between.alter(answers.lost_answer, 1.0, whole)
    made = new_measurement("judged", {"a": 1}, {"minutes": 7}, conclusive=True, device_s=1.0)
    open_store(Settings()).append_measurement(made.key, made)
    assert between.altered == 1
    assert store.measurements(made.key) == (made,)


def test_a_measurement_is_not_kept_in_the_place_of_another(store: Store) -> None:
    first = new_measurement("judged", {"a": 1}, {"minutes": 7}, conclusive=True, device_s=1.0)
    store.append_measurement(first.key, first)
    with pytest.raises(Conflict):
        store.append_measurement(first.key, first.model_copy(update={"result": {"minutes": 8}}))
    assert store.measurements(first.key) == (first,)
