"""Blobs, listings and files of trees, tampered with, and every public reader of them: none believes it."""

import hashlib
import json
import shutil
from collections.abc import Callable

import pytest
from support.engines.stand_ins import manifest
from support.stores.releases import release, variant
from support.stores.tampering import (
    Overwrite,
    World,
    flipped,
    put,
    readers_of_the_engine,
    refused,
)

from artifacts.canonical import canonical_bytes
from artifacts.errors import NoSuchFile, NotFound, StandInRefused
from artifacts.hosts import ENGINE_FILE, refuse_stand_in
from artifacts.releases.releases import publish
from artifacts.store import Listing, Store, blob_key
from artifacts.store.trees import FileEntry
from flows.prefect_run.page import REPORT_PAGE, report_link
from tasks.stages.measure import engine_manifest


def test_what_nobody_tampered_with_is_read(world: World) -> None:
    for ask in readers_of_the_engine(world):
        ask()
        shutil.rmtree(world.root / "copy", ignore_errors=True)  # each of those that make it wants it new


@pytest.mark.parametrize("how", ["a flipped bit", "cut short", "longer", "of a stand-in", "empty"])
def test_a_blob_with_other_bytes(world: World, overwrite: Overwrite, how: str) -> None:
    key = world.blob(world.engine, ENGINE_FILE)
    body = world.host.bucket.get(key).body
    bodies = {
        "a flipped bit": flipped(body),
        "cut short": body[:-1],
        "longer": body + b"\n",
        "of a stand-in": manifest(stand_in=True).model_dump_json().encode(),
        "empty": b"",
    }
    overwrite(key, bodies[how])
    for ask in readers_of_the_engine(world):
        assert refused(ask).exit_code == 6
    assert not (world.root / "copy").exists()
    assert not (world.root / "pulled" / "demo" / "1.4.0" / "v2").exists()


def test_a_blob_that_is_gone(world: World, remove: Callable[[str], None]) -> None:
    remove(world.blob(world.engine, ENGINE_FILE))
    for ask in readers_of_the_engine(world):
        error = refused(ask)
        assert error.exit_code == 6
        assert f"{ENGINE_FILE} is missing" in str(error)


def listings(world: World) -> dict[str, bytes]:
    """Other bytes for the engine's listing, most of which say the same, or are a listing all the same."""
    body = world.host.bucket.get(f"trees/sha256/{world.engine}").body
    content = json.loads(body)
    sizes_as_text = {"files": [{**one, "size": str(one["size"])} for one in content["files"]]}
    other = world.host.bucket.get(f"trees/sha256/{world.report}").body
    return {
        "spaces": body.replace(b",", b", "),
        "another order of keys": json.dumps(content, sort_keys=False, indent=1).encode(),
        "numbers as text": json.dumps(sizes_as_text, separators=(",", ":"), sort_keys=True).encode(),
        "a key twice": body.replace(b'"files":', b'"files":[],"files":', 1),
        "a file left out": canonical_bytes({"files": content["files"][1:]}),
        "another tree's": other,
        "not JSON": b"{",
    }


@pytest.mark.parametrize(
    "how",
    [
        "spaces",
        "another order of keys",
        "numbers as text",
        "a key twice",
        "a file left out",
        "another tree's",
        "not JSON",
    ],
)
def test_a_listing_with_other_bytes(world: World, overwrite: Overwrite, how: str) -> None:
    overwrite(f"trees/sha256/{world.engine}", listings(world)[how])
    for ask in (lambda: world.host.get_listing(world.engine), *readers_of_the_engine(world)):
        error = refused(ask)
        assert error.exit_code == 6
        assert world.engine in str(error)
    assert world.host.missing_of(world.engine) == ("its listing is damaged",)
    with pytest.raises(NotFound, match="its listing is damaged"):
        publish(world.host, world.release)


@pytest.mark.parametrize("blob_is", ["what its key says", "what the chunks say"])
def test_a_listing_that_says_one_thing_of_the_whole_file_and_another_of_its_chunks(
    world: World, store: Store, overwrite: Overwrite, blob_is: str
) -> None:
    """The guard against stand-ins and what installs must not be led to different bytes."""
    honest, stand_in = (manifest(stand_in=value).model_dump_json().encode() for value in (False, True))
    size = max(len(honest), len(stand_in))
    honest, stand_in = honest.ljust(size), stand_in.ljust(size)
    pieces = (stand_in[: size - 1], stand_in[size - 1 :])
    entry = FileEntry(
        path=ENGINE_FILE,
        size=size,
        sha256=hashlib.sha256(honest).hexdigest(),
        chunk_bytes=size - 1,
        chunks=tuple(hashlib.sha256(piece).hexdigest() for piece in pieces),
    )
    forged = Listing(files=(entry,))
    overwrite(f"trees/sha256/{forged.digest}", canonical_bytes(forged))
    overwrite(blob_key(entry.sha256), honest if blob_is == "what its key says" else stand_in)
    for ask in (
        lambda: world.host.read_file(forged.digest, ENGINE_FILE),
        lambda: refuse_stand_in(world.host, forged.digest, "published"),
        lambda: publish(store, release(variant("v2", forged.digest))),
    ):
        assert refused(ask).exit_code == 6


def test_a_tree_or_a_file_that_is_not_there(world: World) -> None:
    nowhere = "0" * 64
    for ask in (
        lambda: world.host.get_listing(nowhere),
        lambda: world.host.read_file(nowhere, ENGINE_FILE),
        lambda: world.host.materialize(nowhere, world.root / "copy"),
        lambda: report_link(world.host, nowhere),
    ):
        error = refused(ask, NotFound)
        assert error.exit_code == 4
        assert nowhere in error.where
    for ask in (
        lambda: world.host.read_file(world.report, ENGINE_FILE),
        lambda: world.host.read_json(world.report, ENGINE_FILE),
        lambda: engine_manifest(world.host, world.report),
        lambda: report_link(world.host, world.engine),
    ):
        error = refused(ask, NoSuchFile)
        assert error.exit_code == 4
        assert "has no file" in error.what


@pytest.mark.parametrize("body", [b"[]", b"not JSON", b"\xff", b'"text"', b""])
def test_a_file_that_is_not_what_it_is_needed_as(world: World, store: Store, body: bytes) -> None:
    tree = put(store, world.root / "odd", {ENGINE_FILE: body})
    for ask in (lambda: world.host.read_json(tree, ENGINE_FILE), lambda: engine_manifest(world.host, tree)):
        assert ENGINE_FILE in refused(ask).what


def test_the_link_to_a_report_is_not_given_to_other_bytes(world: World, overwrite: Overwrite) -> None:
    assert world.report not in report_link(world.host, world.report)
    overwrite(world.blob(world.report, REPORT_PAGE), b"<p>fake</p>")
    assert refused(lambda: report_link(world.host, world.report)).exit_code == 6


def test_a_stand_in_is_refused_by_what_the_store_really_holds(world: World, store: Store) -> None:
    made_up = put(store, world.root / "made-up", {ENGINE_FILE: manifest(stand_in=True).model_dump_json()})
    with pytest.raises(StandInRefused):
        refuse_stand_in(world.host, made_up, "published")
