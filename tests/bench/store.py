"""The store on loopback: a tree up, then on the host that made it and on another, next to plain boto3."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from support.servers import seaweed

from artifacts.settings import Settings
from artifacts.store import Store, open_store
from artifacts.store.cache import BlobCache
from artifacts.store.trees import scan

FILE_BYTES = 256 << 20
FILES = 2
MIB = 1 << 20


def report(root: Path) -> None:
    """Print throughput up and down, as ratios to boto3, and what keeping a tree here costs and saves."""
    source = root / "source"
    source.mkdir(parents=True)
    (root / "s3").mkdir()
    for number in range(FILES):
        _write_random(source / f"{number}.bin")
    with seaweed.serve(root / "s3") as server, patch.dict(os.environ, server.environment):
        store = open_store(Settings(cache_dir=root / "cache", store_bucket="bench"))
        store.ensure_bucket()
        client = seaweed.s3_client(server)
        size_mib = FILES * FILE_BYTES / MIB
        listing = scan(source)
        up = _seconds(lambda: store.upload(source, scan(source)))
        copied = _seconds(lambda: BlobCache(root / "copied").adopt(source, listing, consume=False))
        linked = _seconds(lambda: store.cache.adopt(source, listing, consume=True))
        elsewhere = Store(store.bucket, BlobCache(root / "elsewhere"))
        down = _seconds(lambda: elsewhere.materialize(listing.digest, root / "downloaded"))
        kept = _seconds(lambda: store.materialize(listing.digest, root / "made"))
        plain_up = _seconds(lambda: client.upload_file(str(source / "0.bin"), "bench", "plain"))
        plain_down = _seconds(lambda: client.download_file("bench", "plain", str(root / "plain")))
    print(f"== store, {FILES} files of {FILE_BYTES / MIB:.0f} MiB on loopback")
    _print("put_tree (hash and upload)", size_mib / up, FILE_BYTES / MIB / plain_up)
    _print("materialize (download, verify)", size_mib / down, FILE_BYTES / MIB / plain_down)
    print(f"{'kept by put_tree (link, verify)':<32} {linked:6.2f} s more, {linked / up:.2f} of put_tree")
    print(f"{'the same by a copy':<32} {copied:6.2f} s more, {copied / up:.2f} of put_tree")
    print(f"{'materialize, made here':<32} {kept:6.2f} s instead of {down:.2f} s: {kept / down:.2f}")


def _print(name: str, rate: float, plain: float) -> None:
    print(f"{name:<32} {rate:6.0f} MiB/s, {rate / plain:.2f} of boto3 alone ({plain:.0f} MiB/s)")


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _write_random(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(FILE_BYTES // MIB):
            file.write(os.urandom(MIB))
