"""Versions, releases, channels and references against a real S3 server."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.stores.buckets import in_any_bucket
from support.stores.releases import published, release, variant
from support.stores.trees import random_tree

from artifacts.canonical import digest_of
from artifacts.errors import AlreadyExists, BadReference, Conflict, NotFound
from artifacts.releases import (
    Release,
    VariantRelease,
    list_channels,
    list_names,
    list_releases,
    move_channel,
    read_release,
    reserve_version,
    resolve,
)
from artifacts.releases.channels import read_channel
from artifacts.releases.releases import publish
from artifacts.store import Store

PUBLISHERS = 16


@pytest.fixture
def shipped(store: Store, tmp_path) -> VariantRelease:
    """A variant whose tree is in the store."""
    return variant("v2", store.put_tree(random_tree(tmp_path / "engine", {"model": 10})).digest)


@in_any_bucket
def test_versions_count_up_within_their_minor(store: Store) -> None:
    taken = [reserve_version(store, "demo", "1.4", digest_of(number)) for number in range(3)]
    assert taken == ["1.4.0", "1.4.1", "1.4.2"]
    assert reserve_version(store, "demo", "1.5", digest_of(9)) == "1.5.0"
    assert reserve_version(store, "other", "1.4", digest_of(9)) == "1.4.0"


@in_any_bucket
def test_the_eleventh_patch_follows_the_tenth(store: Store) -> None:
    taken = [reserve_version(store, "demo", "1.4", digest_of(number)) for number in range(12)]
    assert taken[-1] == "1.4.11"


@in_any_bucket
def test_a_retry_finds_the_version_that_it_took(store: Store) -> None:
    first = reserve_version(store, "demo", "1.4", digest_of("mine"))
    reserve_version(store, "demo", "1.4", digest_of("theirs"))
    assert reserve_version(store, "demo", "1.4", digest_of("mine")) == first


@in_any_bucket
def test_racing_publishers_get_versions_of_their_own(store: Store) -> None:
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        taken = list(
            pool.map(lambda n: reserve_version(store, "demo", "1.4", digest_of(n)), range(PUBLISHERS))
        )
    assert len(set(taken)) == PUBLISHERS
    again = [reserve_version(store, "demo", "1.4", digest_of(number)) for number in range(PUBLISHERS)]
    assert again == taken


@in_any_bucket
def test_racing_runs_of_one_publication_get_one_version(store: Store) -> None:
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        mine = digest_of("mine")
        taken = set(pool.map(lambda _n: reserve_version(store, "demo", "1.4", mine), range(PUBLISHERS)))
    assert taken == {"1.4.0"}


def test_racing_processes_get_versions_of_their_own(store: Store) -> None:
    code = (
        "import sys; from artifacts import canonical, releases, settings, store\n"
        "opened = store.open_store(settings.Settings())\n"
        "print(releases.reserve_version(opened, 'demo', '1.4', canonical.digest_of(sys.argv[1])))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(number)], env=os.environ, stdout=subprocess.PIPE, text=True
        )
        for number in range(3)
    ]
    taken = {racer.communicate()[0].strip() for racer in racers}
    assert taken == {f"1.4.{patch}" for patch in range(3)}


@in_any_bucket
@pytest.mark.parametrize("minor", ["1", "1.4.2", "1.x", "", "v1.4"])
def test_a_version_that_is_not_major_and_minor_is_refused(store: Store, minor: str) -> None:
    with pytest.raises(BadReference, match="not a version"):
        reserve_version(store, "demo", minor, digest_of(0))


@in_any_bucket
def test_a_release_exists_once_it_is_published_and_not_before(store: Store, shipped: VariantRelease) -> None:
    version = reserve_version(store, "demo", "1.4", digest_of(0))
    assert list_releases(store, "demo") == ()
    with pytest.raises(NotFound):
        read_release(store, "demo", version)
    made = publish(store, release(shipped, version=version))
    assert read_release(store, "demo", version) == made
    assert list_releases(store, "demo") == (made,)


@in_any_bucket
def test_gaps_in_versions_are_passed_over(store: Store, shipped: VariantRelease) -> None:
    reserve_version(store, "demo", "1.4", digest_of("never published"))
    made = published(store, shipped, content="second")
    assert made.version == "1.4.1"
    assert resolve(store, "demo@1.4").release == made


@in_any_bucket
def test_a_published_release_never_changes(store: Store, shipped: VariantRelease) -> None:
    first = publish(store, release(shipped))
    retry = publish(store, release(shipped))
    assert retry == first
    with pytest.raises(AlreadyExists, match=r"demo@1\.4\.0"):
        publish(store, release(shipped, content="other"))
    assert read_release(store, "demo", "1.4.0") == first


@in_any_bucket
def test_a_release_of_a_tree_that_is_not_stored_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="variant v2 is missing from the store"):
        publish(store, release(variant("v2", "1" * 64)))
    assert list_releases(store, "demo") == ()


@in_any_bucket
def test_a_release_without_anything_to_deploy_can_be_published(store: Store, shipped: VariantRelease) -> None:
    checkpoint = shipped.checkpoint_tree
    publish(store, release(variant("v2", verdict="rejected", checkpoint_tree=checkpoint)))
    assert list_names(store) == ("demo",)


@in_any_bucket
def test_a_release_whose_checkpoint_is_not_in_the_store_is_not_published(
    store: Store, shipped: VariantRelease
) -> None:
    lost = shipped.model_copy(update={"checkpoint_tree": "9" * 64})
    with pytest.raises(NotFound, match="tree 9999"):
        publish(store, release(lost))
    assert list_names(store) == ()


@in_any_bucket
def test_a_channel_keeps_its_moves(store: Store, shipped: VariantRelease) -> None:
    first, second = (published(store, shipped, content=content) for content in "ab")
    for one in (first, second, first):
        move_channel(store, "nightly", one, f"try {one.version}")
    channel = read_channel(store, "demo", "nightly")
    assert (channel.version, channel.sequence) == (first.version, 3)
    assert [(move.version, move.reason) for move in channel.history] == [
        ("1.4.0", "try 1.4.0"),
        ("1.4.1", "try 1.4.1"),
        ("1.4.0", "try 1.4.0"),
    ]


@in_any_bucket
def test_moving_a_channel_to_where_it_is_changes_nothing(store: Store, shipped: VariantRelease) -> None:
    made = published(store, shipped)
    before = move_channel(store, "nightly", made, "new")
    assert move_channel(store, "nightly", made, "again") == before


@in_any_bucket
def test_no_move_is_lost_between_racing_movers(store: Store, shipped: VariantRelease) -> None:
    made = [published(store, shipped, content=str(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: move_channel(store, "nightly", one, "race"), made))
    channel = read_channel(store, "demo", "nightly")
    assert channel.sequence == 8
    assert {move.version for move in channel.history} == {one.version for one in made}
    assert channel.history[-1].version == channel.version


@in_any_bucket
def test_a_move_whose_answer_was_lost_is_not_made_twice(
    store: Store, shipped: VariantRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = published(store, shipped)
    put = store.bucket.put

    def lose_the_answer(key: str, body: bytes, **condition: object) -> None:
        put(key, body, **condition)
        monkeypatch.undo()
        raise Conflict("The connection broke, and the second attempt met the first.")

    monkeypatch.setattr(store.bucket, "put", lose_the_answer)
    assert move_channel(store, "nightly", made, "once").sequence == 1
    assert read_channel(store, "demo", "nightly").sequence == 1


@pytest.fixture
def three(store: Store, shipped: VariantRelease) -> tuple[Release, ...]:
    """1.4.0 (stable), 1.4.1 (nightly) and 1.10.0."""
    first, second = (published(store, shipped, content=content) for content in "ab")
    third = publish(store, release(shipped, version="1.10.0"))
    move_channel(store, "stable", first, "promoted")
    move_channel(store, "nightly", second, "built")
    return first, second, third


@in_any_bucket
@pytest.mark.parametrize(
    ("reference", "index"),
    [
        ("demo", 0),
        ("demo:stable", 0),
        ("demo:nightly", 1),
        ("demo@1.4", 1),
        ("demo@1.4.0", 0),
        ("demo@1.10", 2),
    ],
)
def test_references_lead_to_releases(
    store: Store, three: tuple[Release, ...], reference: str, index: int
) -> None:
    resolved = resolve(store, reference)
    assert resolved.release == three[index]
    exact = f"demo@{three[index].version}"
    said = "" if reference == exact else f"{reference} means {exact}: "
    assert resolved.reason[: len(said) or None] == said


@in_any_bucket
def test_releases_and_channels_are_listed_in_order(store: Store, three: tuple[Release, ...]) -> None:
    assert list_releases(store, "demo") == three
    assert [channel.channel for channel in list_channels(store, "demo")] == ["nightly", "stable"]


@in_any_bucket
@pytest.mark.parametrize("reference", ["demo:beta", "demo@2.0", "demo@1.4.7", "demo@1.1"])
def test_what_is_missing_is_reported_with_what_there_is(
    store: Store, three: tuple[Release, ...], reference: str
) -> None:
    with pytest.raises(NotFound, match="demo has no") as caught:
        resolve(store, reference)
    said = str(caught.value)
    assert "stable -> 1.4.0" in said
    assert "1.4.0, 1.4.1, 1.10.0" in said
    assert "demo:nightly" in caught.value.fix


@in_any_bucket
def test_a_bare_name_without_a_stable_channel_is_its_newest_release(
    store: Store, shipped: VariantRelease
) -> None:
    move_channel(store, "nightly", published(store, shipped), "built")
    newest = publish(store, release(shipped, version="1.10.0"))
    found = resolve(store, "demo")
    assert found.release == newest
    assert found.reason == "demo means demo@1.10.0: its newest release, as it has no channel stable"


@in_any_bucket
def test_a_channel_that_was_named_is_never_replaced_by_another_release(
    store: Store, shipped: VariantRelease
) -> None:
    move_channel(store, "nightly", published(store, shipped), "built")
    with pytest.raises(NotFound, match="no channel 'stable'") as caught:
        resolve(store, "demo:stable")
    assert caught.value.fix == "ask for demo:nightly or demo@1.4.0"


@in_any_bucket
def test_an_unknown_name_is_reported_with_the_names_that_exist(store: Store, shipped: VariantRelease) -> None:
    published(store, shipped)
    with pytest.raises(NotFound, match="no release of 'demi'") as caught:
        resolve(store, "demi")
    assert "names there: demo" in caught.value.where
