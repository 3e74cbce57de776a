"""A store with one object of every kind, for tests that tamper with them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from artifacts.canonical import digest_of
from artifacts.errors import ArtifactError, IntegrityError
from artifacts.hosts import ENGINE_FILE, EngineManifest, HostFacts, refuse_stand_in
from artifacts.releases import (
    Release,
    VerdictKey,
    inspect_release,
    keep_verdict,
    move_channel,
    pull_release,
)
from artifacts.store import Action, Measurement, Store, blob_key, new_measurement
from flows.prefect_run.page import REPORT_PAGE
from support.engines.stand_ins import manifest
from support.stores.releases import published, variant
from tasks.stages.measure import engine_manifest

Overwrite = Callable[[str, bytes], None]
HOST = HostFacts(machine="x86_64", cpu_features=())
ABOUT = VerdictKey(name="demo", version="1.4", commit="0" * 40, variant="v2", basis="b" * 64)
WEIGHTS = bytes(range(256)) * 40


@dataclass(frozen=True)
class World:
    """One object of every kind, and a host that has nothing of it in its cache."""

    host: Store
    engine: str
    report: str
    release: Release
    action: Action
    measurement: Measurement
    verdict: str
    root: Path

    def blob(self, tree: str, path: str) -> str:
        """Key of a file's blob."""
        return blob_key(self.host.get_entry(tree, path).sha256)


def make_world(store: Store, elsewhere: Store, tmp_path: Path) -> World:
    """Put one object of every kind into a store; `elsewhere` is the same store on a host that has nothing."""
    engine = put(
        store, tmp_path / "engine", {ENGINE_FILE: manifest(stand_in=False).model_dump_json(), "w": WEIGHTS}
    )
    checkpoint = put(store, tmp_path / "checkpoint", {"config.json": "{}"})
    report = put(store, tmp_path / "report", {REPORT_PAGE: "<p>true</p>"})
    made = published(store, variant("v2", engine, checkpoint_tree=checkpoint, report=report))
    move_channel(store, "stable", made, "built")
    action = store.write_action(action_of({"a": 1}, engine))
    store.remember_action("demo", "v2", action)
    measurement = new_measurement("judged", {"a": 1}, {"b": 2}, conclusive=True, device_s=1.0)
    store.append_measurement(measurement.key, measurement)
    keep_verdict(store, ABOUT, made.variants[0], "here")
    (verdict,) = store.bucket.keys("judged/")
    return World(elsewhere, engine, report, made, action, measurement, verdict, tmp_path)


def put(store: Store, directory: Path, files: dict[str, str | bytes]) -> str:
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return store.put_tree(directory).digest


def action_of(document: dict[str, Any], tree: str, stage: str = "build") -> Action:
    return Action(
        stage=stage,
        fingerprint=digest_of(document),
        document=document,
        spec="demo",
        variant="v2",
        tree=tree,
        duration_s=1.5,
        host="here",
        created_at=datetime.now(UTC),
    )


def readers_of_the_engine(world: World) -> Iterator[Callable[[], object]]:
    host, engine = world.host, world.engine
    yield lambda: host.read_file(engine, ENGINE_FILE)
    yield lambda: host.read_json(engine, ENGINE_FILE)
    yield lambda: host.read_document(engine, ENGINE_FILE, EngineManifest)
    yield lambda: host.require_stored(engine, ENGINE_FILE)
    yield lambda: host.link_to(engine, ENGINE_FILE, content_type="application/json", valid_s=60)
    yield lambda: host.materialize(engine, world.root / "copy")
    yield lambda: host.materialize(engine, world.root / "copy", writable=True)
    yield lambda: engine_manifest(host, engine)
    yield lambda: refuse_stand_in(host, engine, "published")
    yield lambda: pull_release(host, "demo", world.root / "pulled", facts=HOST)
    yield lambda: inspect_release(host, world.release)


def refused(ask: Callable[[], object], error: type[ArtifactError] = IntegrityError) -> ArtifactError:
    """The error that a reader ends with, which says what, where and what to do."""
    with pytest.raises(error) as caught:
        ask()
    assert all((caught.value.what, caught.value.where, caught.value.fix)), caught.value
    return caught.value


def flipped(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]
