"""Every kind of record in the store, tampered with, and every public reader of it: none believes it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engines.stand_ins import manifest
from support.programs.cli import run_here
from support.stores.tampering import ABOUT, HOST, Overwrite, World, action_of, flipped, refused

import artifacts
from artifacts.canonical import canonical_bytes, digest_of
from artifacts.hosts import ENGINE_FILE
from artifacts.releases import (
    Release,
    list_channels,
    move_channel,
    newest_verdict,
    pull_release,
    read_release,
    reserve_version,
    resolve,
)
from artifacts.releases.channels import read_channel
from artifacts.releases.releases import publish, release_key
from artifacts.store import Store, new_measurement
from artifacts.store.cache import BlobCache
from artifacts.store.trees import scan
from flows.prefect_run.page import REPORT_PAGE
from tasks.runs import MeasurementCall, Pipeline, find_measurement
from tasks.runs.measurements import NotUsable

BUCKET_READ = re.compile(r"bucket\.(get|stream)\(|\bget_object\(")


def records(world: World) -> dict[str, tuple[str, bytes, list[Callable[[], object]]]]:
    """By kind of record: its key, what belongs under another key, and who reads it."""
    host, name = world.host, "demo"
    another = action_of({"a": 2}, world.engine)
    other_stage = action_of({"a": 1}, world.engine, "quantize")
    other_release = world.release.model_copy(update={"version": "1.4.1"})
    verdict = json.loads(host.bucket.get(world.verdict).body)
    channel = json.loads(host.bucket.get("channels/demo/stable.json").body)
    latest = json.loads(host.bucket.get("latest/demo/v2/build.json").body)
    fingerprint = world.action.fingerprint
    read_actions: list[Callable[[], object]] = [
        lambda: host.read_action("build", fingerprint),
        lambda: host.last_action("demo", "v2", "build"),
        lambda: host.write_action(world.action),
    ]
    read_releases: list[Callable[[], object]] = [
        lambda: read_release(host, name, "1.4.0"),
        lambda: resolve(host, "demo"),
        lambda: resolve(host, "demo@1.4"),
        lambda: publish(host, world.release),
        lambda: pull_release(host, "demo", world.root / "pulled", facts=HOST),
    ]
    read_channels: list[Callable[[], object]] = [
        lambda: read_channel(host, name, "stable"),
        lambda: list_channels(host, name),
        lambda: resolve(host, "demo"),
        lambda: resolve(host, "demo:stable"),
        lambda: move_channel(host, "stable", other_release, "promoted"),
        lambda: pull_release(host, "demo", world.root / "pulled", facts=HOST),
    ]
    action_key, channel_key = f"actions/build/{fingerprint}.json", "channels/demo/stable.json"
    return {
        "action": (action_key, canonical_bytes(another), read_actions),
        "action of another stage": (action_key, canonical_bytes(other_stage), read_actions),
        "action with another document": (
            action_key,
            canonical_bytes({**world.action.model_dump(mode="json"), "document": {"a": 2}}),
            read_actions,
        ),
        "latest action": (
            "latest/demo/v2/build.json",
            canonical_bytes({**latest, "variant": "v3"}),
            [lambda: host.last_action("demo", "v2", "build")],
        ),
        "release": (release_key(name, "1.4.0"), canonical_bytes(other_release), read_releases),
        "release of another name": (
            release_key(name, "1.4.0"),
            canonical_bytes(world.release.model_copy(update={"name": "other"})),
            read_releases,
        ),
        "channel": (channel_key, canonical_bytes({**channel, "channel": "nightly"}), read_channels),
        "channel that left its moves": (
            channel_key,
            canonical_bytes({**channel, "version": "1.4.1"}),
            read_channels,
        ),
        "channel with a move left out": (
            channel_key,
            canonical_bytes({**channel, "sequence": 2}),
            read_channels,
        ),
        "verdict": (
            world.verdict,
            canonical_bytes({**verdict, "about": {**verdict["about"], "basis": "c" * 64}}),
            [lambda: newest_verdict(host, ABOUT)],
        ),
        "verdict on another variant": (
            world.verdict,
            canonical_bytes({**verdict, "entry": {**verdict["entry"], "name": "v3"}}),
            [lambda: newest_verdict(host, ABOUT)],
        ),
    }


KINDS = [
    "action",
    "action of another stage",
    "action with another document",
    "latest action",
    "release",
    "release of another name",
    "channel",
    "channel that left its moves",
    "channel with a move left out",
    "verdict",
    "verdict on another variant",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["moved here", "not JSON", "more keys", "empty"])
def test_a_record_that_is_not_what_its_key_says(
    world: World, overwrite: Overwrite, kind: str, how: str
) -> None:
    key, moved, readers = records(world)[kind]
    body = world.host.bucket.get(key).body
    bodies = {
        "moved here": moved,
        "not JSON": body[:-1],
        "more keys": b'{"more":1,' + body[1:],
        "empty": b"",
    }
    overwrite(key, bodies[how])
    for ask in readers:
        error = refused(ask)
        assert error.exit_code == 6
        assert key in error.where


def test_every_kind_of_record_is_tampered_with(world: World) -> None:
    assert set(records(world)) == set(KINDS)
    tried = {key.split("/", maxsplit=1)[0] for key, _, _ in records(world).values()}
    there = {key.split("/", maxsplit=1)[0] for key in world.host.bucket.keys("")}
    assert there - tried == {"blobs", "trees", "measurements"}


@pytest.mark.parametrize("how", ["moved here", "not JSON", "another document"])
def test_a_measurement_that_is_not_what_its_key_says_is_not_used(
    world: World, overwrite: Overwrite, settings: Any, how: str
) -> None:
    made = world.measurement
    key = f"measurements/{made.key}/{made.id}.json"
    other = new_measurement("judged", {"a": 2}, {"b": 2}, conclusive=True, device_s=1.0)
    body = canonical_bytes({**made.model_dump(mode="json"), "document": {"a": 2}})
    overwrite(key, {"moved here": canonical_bytes(other), "not JSON": b"{", "another document": body}[how])
    assert world.host.measurements(made.key) == ()
    found = find_measurement(Pipeline(settings, world.host, say=print), MeasurementCall("judged", {"a": 1}))
    assert isinstance(found, NotUsable)
    assert refused(lambda: world.host.append_measurement(made.key, made)).exit_code == 6


def test_a_result_that_is_no_result_of_its_kind_is_refused(world: World) -> None:
    error = refused(lambda: world.measurement.result_as(Release))
    assert error.exit_code == 6
    assert world.measurement.id in error.where


@pytest.mark.parametrize("how", ["moved here", "not JSON"])
def test_a_reservation_that_is_anothers_is_nobodys(world: World, overwrite: Overwrite, how: str) -> None:
    """Its number counts as taken all the same; whose it is, the release says."""
    mine = digest_of("mine")
    assert reserve_version(world.host, "demo", "1.4", mine) == "1.4.1"
    body = world.host.bucket.get("releases/demo/1.4.1/reserved.json").body
    assert reserve_version(world.host, "demo", "1.5", digest_of("theirs")) == "1.5.0"
    overwrite("releases/demo/1.5.0/reserved.json", body if how == "moved here" else b"{")
    assert reserve_version(world.host, "demo", "1.5", mine) == "1.5.1"


@pytest.mark.parametrize(
    ("where", "words", "code"),
    [
        ("release", ("show", "demo"), 6),
        ("release", ("list",), 6),
        ("release", ("pull", "demo", "--to", "ROOT"), 6),
        ("release", ("report", "demo"), 6),
        ("channel", ("show", "demo"), 6),
        ("channel", ("history", "demo"), 6),
        ("channel", ("pull", "demo", "--to", "ROOT"), 6),
        ("engine listing", ("show", "demo"), 6),
        ("engine listing", ("verify", "--store", "demo"), 6),
        ("engine listing", ("pull", "demo", "--to", "ROOT"), 6),
        ("engine blob", ("show", "demo"), 6),
        ("engine blob", ("verify", "--store", "demo"), 6),
        ("engine blob", ("pull", "demo", "--to", "ROOT"), 6),
        ("report listing", ("report", "demo"), 6),
        ("report blob", ("report", "demo"), 6),
    ],
)
def test_commands_end_with_the_code_for_integrity(
    world: World, overwrite: Overwrite, where: str, words: tuple[str, ...], code: int
) -> None:
    keys = {
        "release": release_key("demo", "1.4.0"),
        "channel": "channels/demo/stable.json",
        "engine listing": f"trees/sha256/{world.engine}",
        "engine blob": world.blob(world.engine, ENGINE_FILE),
        "report listing": f"trees/sha256/{world.report}",
        "report blob": world.blob(world.report, REPORT_PAGE),
    }
    overwrite(keys[where], flipped(world.host.bucket.get(keys[where]).body))
    empty = {"ENGINERY_CACHE_DIR": str(world.root / "cold"), "ENGINERY_HOME": str(world.root / "home-cold")}
    ended = run_here(*(str(world.root / "root") if word == "ROOT" else word for word in words), env=empty)
    assert ended.returncode == code, ended.stderr
    assert keys[where] in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_report_that_was_changed_on_this_host_is_fetched_again(world: World, tmp_path: Path) -> None:
    page = Path(run_here("report", "demo").stdout.strip())
    assert page.read_text() == "<p>true</p>"
    page.chmod(0o644)
    page.write_text("<p>fake</p>")
    assert Path(run_here("report", "demo").stdout.strip()).read_text() == "<p>true</p>"


def test_a_cache_that_was_tampered_with_is_not_believed_either(
    world: World, store: Store, tmp_path: Path
) -> None:
    cache = BlobCache(tmp_path / "warm")
    host = Store(store.bucket, cache)
    host.materialize(world.engine, tmp_path / "first")
    entry = host.get_entry(world.engine, ENGINE_FILE)
    place = cache.path_of(entry)
    place.chmod(0o644)
    place.write_bytes(manifest(stand_in=True).model_dump_json().encode())
    assert not json.loads(host.read_file(world.engine, ENGINE_FILE))["stand_in"]
    host.materialize(world.engine, tmp_path / "second")
    assert scan(tmp_path / "second").digest == world.engine


def test_no_other_module_takes_bytes_out_of_the_bucket() -> None:
    """Readers of whole objects and of ranges are counted: another one would not verify what it reads.

    The local stack asks its server for an object of its own, to see whether it works.
    """
    root = Path(artifacts.__file__).parents[1]
    sources = [file for name in ("artifacts", "tasks", "flows") for file in (root / name).rglob("*.py")]
    readers = {
        file.relative_to(root).as_posix()
        for file in sources
        if BUCKET_READ.search(file.read_text(encoding="utf-8"))
    }
    assert len(sources) > 100
    assert readers == {
        "artifacts/store/reader.py",
        "artifacts/store/transfer.py",
        "artifacts/store/s3/bucket.py",
        "flows/stack/components/object_store.py",
    }
