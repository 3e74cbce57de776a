"""A snapshot of a store: the same answers as the store's, and no question asked twice."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from artifacts.canonical import digest_of
from artifacts.errors import NotFound
from artifacts.store import Snapshot, Store, blob_key, new_measurement
from artifacts.store.reader import tree_key

DOCUMENT = {"protocol": "p" * 64}


@pytest.fixture
def tree(store: Store, tmp_path: Path) -> str:
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("a.json", "b.json"):
        (root / name).write_text(f'{{"name": "{name}"}}')
    return store.put_tree(root).digest


def ask(store: Store, tree: str) -> tuple[object, ...]:
    return (
        store.get_listing(tree),
        store.read_json(tree, "a.json"),
        store.missing_of(tree),
        store.read_action("build", "f" * 64),
        store.measurements(digest_of(DOCUMENT)),
    )


def counted(store: Store) -> Counter[str]:
    requests = Counter[str]()
    events = store.bucket._client.meta.events
    events.register("before-send.s3", lambda event_name, **_sent: requests.update([event_name]))
    return requests


@pytest.mark.parametrize("listed_keys", [10_000, 0])
def test_it_answers_as_the_store_does_and_asks_once(
    store: Store, tree: str, monkeypatch: pytest.MonkeyPatch, listed_keys: int
) -> None:
    monkeypatch.setattr("artifacts.store.snapshot.LISTED_KEYS", listed_keys)
    measurement = new_measurement("judged", DOCUMENT, {}, conclusive=True, device_s=1.0)
    store.append_measurement(measurement.key, measurement)
    snapshot = Snapshot(store)
    assert ask(snapshot, tree) == ask(store, tree)
    requests = counted(store)
    ask(snapshot, tree)
    assert requests == {}
    assert ask(Snapshot(store), tree) == ask(store, tree)
    assert requests.total() > 0


def test_a_blob_that_the_store_lost_is_missed(store: Store, tree: str, remove: Callable[[str], None]) -> None:
    (lost, _) = store.get_listing(tree).files
    remove(blob_key(lost.sha256))
    assert Snapshot(store).missing_of(tree) == (f"{lost.path} is missing",)


def test_a_listing_that_only_this_host_holds_does_not_count(
    store: Store, tree: str, remove: Callable[[str], None]
) -> None:
    assert store.cache.read_listing(tree) is not None
    remove(tree_key(tree))
    assert Snapshot(store).missing_of(tree) == ("its listing is missing",)
    with pytest.raises(NotFound):
        Snapshot(store).get_listing(tree)


def test_a_damaged_listing_of_this_host_is_read_from_the_store(store: Store, tree: str) -> None:
    whole = store.cache.read_listing(tree)
    assert whole is not None
    store.cache.keep_listing(tree, whole.replace(b"a.json", b"c.json"))
    assert store.cache.read_listing(tree) is None
    assert {file.path for file in Snapshot(store).get_listing(tree).files} == {"a.json", "b.json"}


def test_a_listing_that_is_damaged_in_the_store_is_missed_as_a_build_misses_it(
    store: Store, tree: str, overwrite: Callable[[str, bytes], None]
) -> None:
    whole = store.cache.read_listing(tree)
    assert whole is not None
    overwrite(tree_key(tree), whole.replace(b"a.json", b"c.json"))
    assert store.missing_of(tree) == Snapshot(store).missing_of(tree) == ("its listing is damaged",)
