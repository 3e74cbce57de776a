"""What other tools left among the records stops nobody, and is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.programs.cli import run_cli
from support.stores.releases import published, release, variant
from support.stores.trees import random_tree

from artifacts.canonical import digest_of
from artifacts.releases import (
    Release,
    list_channels,
    list_names,
    list_releases,
    move_channel,
    reserve_version,
    resolve,
)
from artifacts.releases.releases import publish
from artifacts.store import Store, new_measurement

Overwrite = Callable[[str, bytes], None]
STRAYS = (
    "releases/demo/1.4.x/release.json",
    "releases/demo/latest/release.json",
    "releases/demo/1.4.0/release.json.bak",
    "releases/demo/1.4.0/notes/release.json",
    "releases/demo/1.4.07/release.json",
    "releases/demo/README",
    "releases/.trash/1.0.0/release.json",
    "releases/Old Demo/1.0.0/release.json",
    "channels/demo/nightly.json.bak",
    "channels/demo/old/nightly.json",
)


@pytest.fixture
def demo(store: Store, tmp_path: Path) -> Release:
    """demo@1.4.0, to which nightly points."""
    made = published(
        store, variant("v2", store.put_tree(random_tree(tmp_path / "tree", {"model": 10})).digest)
    )
    move_channel(store, "nightly", made, "built")
    return made


@pytest.mark.parametrize("stray", STRAYS)
def test_a_stray_object_stops_nobody(store: Store, demo: Release, overwrite: Overwrite, stray: str) -> None:
    overwrite(stray, b"left here")
    assert list_names(store) == ("demo",)
    assert list_releases(store, "demo") == (demo,)
    assert resolve(store, "demo@1.4").release == demo
    assert [channel.channel for channel in list_channels(store, "demo")] == ["nightly"]
    assert reserve_version(store, "demo", "1.4", digest_of("next")) == "1.4.1"


def test_stray_objects_are_named_once_and_list_prints_one_document(
    store: Store, demo: Release, overwrite: Overwrite
) -> None:
    published(store, *demo.variants, content="second")
    for stray in STRAYS:
        overwrite(stray, b"left here")
    ended = run_cli("list", "--json")
    assert ended.returncode == 0, ended.stderr
    assert [one["version"] for one in json.loads(ended.stdout)] == ["1.4.0", "1.4.1"]
    named = [line for line in ended.stderr.splitlines() if line.startswith("skipped ")]
    assert len(named) == len(set(named))
    for stray in STRAYS:
        # What stands below a directory that is no name is not looked at; that directory is named.
        name = stray if stray.startswith(("releases/demo/", "channels/")) else stray.rsplit("/", 2)[0]
        assert any(name in line for line in named), name


@pytest.mark.parametrize("reservation", ["missing", "damaged"])
def test_a_lost_reservation_blocks_no_publication(
    store: Store,
    demo: Release,
    overwrite: Overwrite,
    remove: Callable[[str], None],
    reservation: str,
) -> None:
    key = "releases/demo/1.4.0/reserved.json"
    remove(key) if reservation == "missing" else overwrite(key, b"{")
    assert published(store, *demo.variants, content="second").version == "1.4.1"
    retry = reserve_version(store, "demo", "1.4", demo.publication_fingerprint)
    assert retry == "1.4.0"
    assert publish(store, release(*demo.variants, version=retry)) == demo


def test_a_number_of_which_nothing_is_known_is_taken(store: Store, overwrite: Overwrite) -> None:
    overwrite("releases/demo/1.4.3/notes.txt", b"left here")
    assert reserve_version(store, "demo", "1.4", digest_of("mine")) == "1.4.4"


@pytest.mark.parametrize("body", [b"left here", b"another"])
def test_what_is_no_measurement_is_passed_over(store: Store, overwrite: Overwrite, body: bytes) -> None:
    made, other = (
        new_measurement("judged", {"a": number}, {}, conclusive=True, device_s=1.0) for number in range(2)
    )
    for one in (made, other):
        store.append_measurement(one.key, one)
    if body == b"another":
        body = store.bucket.get(f"measurements/{other.key}/{other.id}.json").body
    overwrite(f"measurements/{made.key}/zzz.json", body)
    assert store.measurements(made.key) == (made,)
