"""A host does not download what it made: the bytes of a whole build, counted before the store.

The Hub, the stages that fetch, and what measuring, publishing and the run's page read are real; tools are not
needed to see what is transferred, so what quantizes and builds copies files.
"""

import logging
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engines.stand_ins import manifest
from support.paths import E2E_SPEC
from support.servers import proxy
from support.servers.hub_faults import FaultyHub, faulty_hub
from support.servers.seaweed import S3Server
from support.stores.releases import published, variant
from support.stores.trees import random_tree

from artifacts.errors import LocalDiskError
from artifacts.hosts import ENGINE_FILE, HostRequirements, ServeCommand
from artifacts.settings import Settings
from artifacts.store import Listing, Store, open_store
from artifacts.store.cache import BlobCache
from artifacts.store.trees import scan
from engine_specs.spec import load_spec, resolve_variants
from flows.demo.hub_repo import DEMO_HUB
from flows.prefect_run.page import REPORT_PAGE, report_link
from tasks.comparison import resident_sides
from tasks.comparison import serve as serving
from tasks.hub import TEXTS_FILE, HubAccess, parse_texts
from tasks.judging.endpoint import Side
from tasks.runs import Made, Pipeline, StageCall, StageResult, build_document, run_stage
from tasks.stages import Sources, checkpoint_facts
from tasks.stages.fetch import FetchCheckpoint, FetchTexts
from tasks.stages.measure import protocol_for
from tasks.toolchains import Toolchain

SPEC = load_spec(E2E_SPEC)
(VARIANT,) = resolve_variants(SPEC)
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ready")
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SERVE = ServeCommand(toolchain="here", argv=("{python}", "{tree}/server.py", "{port}"), model="m")


@pytest.fixture
def between(store: Store, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[proxy.Proxy]:
    """A proxy before the store that counts; the environment names it from now on."""
    with proxy.before(s3_server.endpoint) as running:
        running.count()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


@pytest.fixture
def hub() -> Iterator[FaultyHub]:
    with faulty_hub(DEMO_HUB) as server:
        yield server


@pytest.fixture
def access(hub: FaultyHub, tmp_path: Path) -> HubAccess:
    return HubAccess(endpoint=hub.url, cache_dir=tmp_path / "hf-cache", token=None, timeout_s=20)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own interpreter stands for the toolchain that serves."""
    python = Path(sys.executable)
    here = Toolchain(
        name="here",
        root=python.parents[1],
        python=python,
        bin_dir=python.parent,
        identity="0" * 64,
        versions={},
    )
    monkeypatch.setattr(serving, "ensure", lambda *_args, **_switches: here)


def worker_stage(pipeline: Pipeline, stage: str, source: str, files: dict[str, str]) -> StageResult:
    """A stage that takes a tree from the store, as workers do, and adds files to a copy of it."""
    document = build_document(stage=stage, sources=[], toolchain="t" * 64, request={"source": source})

    def produce(output: Path, scratch: Path) -> Made:
        pipeline.store.materialize(source, scratch / "checkpoint")
        for path in sorted((scratch / "checkpoint").iterdir()):
            (output / path.name).hardlink_to(path)  # as a worker may that passes files on
        for name, content in files.items():
            (output / name).unlink(missing_ok=True)
            (output / name).write_text(content)
        return Made()

    return run_stage(pipeline, StageCall(stage, SPEC.name, VARIANT.name, document), produce)


def build(pipeline: Pipeline, access: HubAccess, work: Path) -> dict[str, str]:
    """Fetch, quantize, build, measure, judge, publish; returns the trees by what they are."""
    store, sources = pipeline.store, Sources(SPEC, access)
    checkpoint = FetchCheckpoint(SPEC).run(pipeline, sources).tree
    heldout = FetchTexts(SPEC, "heldout", SPEC.validation.accuracy).run(pipeline, sources).tree
    assert checkpoint_facts(pipeline, SPEC, sources.checkpoint.commit, access).config["architectures"]
    quantized = worker_stage(pipeline, "quantize", checkpoint, {"weights.bin": "quantized"}).tree
    (tokenizer,) = (one for one in store.get_listing(checkpoint).files if one.path == "tokenizer.json")
    own = manifest(stand_in=False, tokenizer_sha256=tokenizer.sha256)
    reported = own.model_copy(update={"serve": SERVE}).model_dump_json()
    engine = worker_stage(pipeline, "build", quantized, {ENGINE_FILE: reported, "server.py": SERVER}).tree
    trees = {"checkpoint": checkpoint, "heldout": heldout, "quantized": quantized, "engine": engine}
    measure(pipeline, trees, work)
    (work / "report").mkdir()
    (work / "report" / REPORT_PAGE).write_text("<p>report</p>")
    trees["report"] = store.put_tree(work / "report", consume=True).digest
    report_link(store, trees["report"])
    requires = HostRequirements(machine="x86_64")
    entry = variant("v2", engine, checkpoint_tree=checkpoint, report=trees["report"], requires=requires)
    published(store, entry)
    return trees


def measure(pipeline: Pipeline, trees: dict[str, str], work: Path) -> None:
    """What measuring asks the store for: small files of three trees, the texts, and the sides' trees."""
    asked = {name: trees[name] for name in ("engine", "checkpoint", "heldout")}
    asked["weights"] = trees["checkpoint"]
    assert protocol_for(pipeline.store, SPEC, VARIANT, **asked).accuracy.end_tokens
    pipeline.store.materialize(trees["heldout"], work / "heldout")
    assert parse_texts((work / "heldout" / TEXTS_FILE).read_bytes())
    sides = [Side(name="engine", serve=SERVE, tree=trees["engine"], devices=1)]
    with (
        resident_sides(pipeline, sides, "measure") as placement,
        placement.serving(sides) as (endpoint,),
        urllib.request.urlopen(endpoint.url("/health"), timeout=10) as answer,
    ):
        assert answer.read() == b"ready"


def total_bytes(store: Store, trees: dict[str, str]) -> int:
    """Bytes of the blobs of trees; what several share counts once."""
    files = {file.sha256: file for tree in trees.values() for file in store.get_listing(tree).files}
    return sum(file.size for file in files.values())


def test_a_whole_build_takes_no_byte_of_a_tree_back_from_the_store(
    settings: Settings, between: proxy.Proxy, access: HubAccess, tmp_path: Path
) -> None:
    pipeline = Pipeline(settings, open_store(Settings()), say=lambda _line: None)
    build(pipeline, access, tmp_path)
    assert between.received_bytes, "nothing was counted"
    assert between.blob_bytes() == 0
    assert between.blob_requests("GET") == []


def test_another_host_takes_each_byte_once(
    settings: Settings, between: proxy.Proxy, access: HubAccess, tmp_path: Path
) -> None:
    """Which shows, too, that the counting counts."""
    made_here = open_store(Settings())
    trees = build(Pipeline(settings, made_here, say=lambda _line: None), access, tmp_path)
    elsewhere = Store(made_here.bucket, BlobCache(tmp_path / "elsewhere"))
    for name, tree in trees.items():
        elsewhere.materialize(tree, tmp_path / "copies" / name)
    assert between.blob_bytes() == total_bytes(made_here, trees) > 0
    measure(Pipeline(settings, elsewhere, say=lambda _line: None), trees, tmp_path / "again")
    assert between.blob_bytes() == total_bytes(made_here, trees)


def test_what_the_hub_brought_stays_the_hubs(
    settings: Settings, store: Store, access: HubAccess, tmp_path: Path
) -> None:
    """Its client's files are links into its own cache, whose modes and bytes are not ours to share."""
    pipeline = Pipeline(settings, store, say=lambda _line: None)
    sources = Sources(SPEC, access)
    tree = FetchCheckpoint(SPEC).run(pipeline, sources).tree
    blobs = [path for path in (tmp_path / "hf-cache").rglob("*") if path.is_file() and not path.is_symlink()]
    ours = {store.cache.path_of(file).stat().st_ino for file in store.get_listing(tree).files}
    assert not ours & {path.stat().st_ino for path in blobs}
    assert any(path.stat().st_mode & 0o200 for path in blobs)


def put_aside(store: Store, root: Path, caplog: pytest.LogCaptureFixture) -> tuple[Listing, str]:
    """Put a tree into the store; returns it, and what was logged."""
    with caplog.at_level(logging.WARNING, logger="artifacts.store.store"):
        listing = store.put_tree(root, consume=True)
    return listing, caplog.text


def test_a_file_that_changes_after_its_upload_is_named_and_downloaded_as_it_was(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = random_tree(tmp_path / "made", {"weights": 1000, "config": 10})
    before, upload = scan(root), store.upload

    def uploaded_and_changed(*args: object, **switches: bool) -> None:
        upload(*args, **switches)  # type: ignore[arg-type]
        (root / "weights").write_bytes(bytes(1000))

    monkeypatch.setattr(store, "upload", uploaded_and_changed)
    listing, said = put_aside(store, root, caplog)
    assert listing == before
    assert f"changed after tree {before.digest[:12]} was uploaded" in said
    assert "weights" in said
    store.materialize(before.digest, tmp_path / "copy")
    assert scan(tmp_path / "copy") == before


def test_a_cache_that_cannot_take_a_tree_does_not_fail_the_stage(
    store: Store,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_args: object, **_switches: object) -> tuple[str, ...]:
        raise LocalDiskError("the disk is full", where="/cache", fix="free some space")

    with monkeypatch.context() as patch:
        patch.setattr(store.cache, "adopt", full)
        listing, said = put_aside(store, random_tree(tmp_path / "made", {"weights": 1000}), caplog)
    assert f"tree {listing.digest[:12]} is not kept in the local cache: the disk is full" in said
    assert store.missing_of(listing.digest) == ()
    store.materialize(listing.digest, tmp_path / "copy")
    assert scan(tmp_path / "copy") == listing
