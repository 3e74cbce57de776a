"""Pulling releases, whatever happens meanwhile."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.servers import proxy
from support.servers.seaweed import READER_KEY, S3Server
from support.stores.releases import published, release, variant
from support.stores.trees import random_tree

from artifacts.errors import (
    IntegrityError,
    LocalDiskError,
    NotFound,
    NothingFits,
    StoreRefused,
    StoreUnreachable,
)
from artifacts.hosts import HostFacts
from artifacts.releases import Release, pull_release, read_install, verify_install
from artifacts.releases import pull as pulling
from artifacts.releases.installs import InstallPaths
from artifacts.releases.releases import publish
from artifacts.settings import Settings
from artifacts.store import Listing, Store, blob_key, open_store, verify
from artifacts.store.transfer import DOWNLOAD_THREADS, Chunk, is_present
from artifacts.store.trees import all_chunks, scan

MIB = 1 << 20
PART_BYTES = 5 * MIB
HOST = HostFacts(machine="x86_64", cpu_features=("avx2", "sse4_2"))
SMALL = {"model.pt2": 100_000, "server/serve.py": 50, "empty": 0, "run": 10}
PULL = """
import sys, pathlib
from artifacts import hosts, releases, settings, store
facts = hosts.HostFacts(machine="x86_64", cpu_features=())
opened = store.open_store(settings.Settings())
releases.pull_release(opened, "demo@1.4.0", pathlib.Path(sys.argv[1]), facts=facts)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return random_tree(tmp_path / "source", SMALL, executable=("run",))


@pytest.fixture
def demo(store: Store, source: Path) -> Release:
    """demo@1.4.0 with one small variant."""
    return published(store, variant("v2", store.put_tree(source).digest))


@pytest.fixture
def between(s3_server: S3Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[proxy.Proxy]:
    """A proxy before the S3 server; the environment names it from now on."""
    with proxy.before(s3_server.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


def paths(root: Path, name: str = "v2") -> InstallPaths:
    return InstallPaths(root, "demo", "1.4.0", name)


def test_a_host_with_another_processor_learns_that_the_measured_speed_may_not_hold(
    store: Store, demo: Release, tmp_path: Path
) -> None:
    judged = demo.variant("v2").judged_on.cpu_model
    same = HOST.model_copy(update={"cpu_model": judged})
    assert pull_release(store, "demo@1.4", tmp_path / "root", facts=same).judged_elsewhere == ""
    other = HOST.model_copy(update={"cpu_model": "AMD EPYC 9D25"})
    pulled = pull_release(store, "demo@1.4", tmp_path / "root", facts=other)
    assert pulled.judged_elsewhere == (
        f"judged on {judged}, this host has AMD EPYC 9D25: measured speed may not hold here"
    )
    assert pulled.already_installed, "it is no reason to refuse"


def test_keys_that_only_read_suffice_for_a_serving_host_and_change_nothing(
    demo: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER_KEY)
    store = open_store(Settings(cache_dir=tmp_path / "cache-of-the-host"))
    pulled = pull_release(store, f"demo@{demo.version}", tmp_path / "root", facts=HOST)
    verify_install(pulled.directory)
    with pytest.raises(StoreRefused, match="refuses access"):
        store.bucket.put("channels/demo/stable.json", b"{}")


def test_the_installed_directory_is_exactly_the_tree(
    store: Store, demo: Release, source: Path, tmp_path: Path
) -> None:
    pulled = pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    assert pulled.directory == tmp_path / "root" / "demo" / "1.4.0" / "v2"
    assert scan(pulled.directory) == scan(source)
    assert pulled.downloaded_bytes == sum(SMALL.values())
    assert not pulled.already_installed
    assert pulled.release == demo
    assert os.access(pulled.directory / "run", os.X_OK)
    verify_install(pulled.directory)


def test_the_record_says_how_to_serve(store: Store, demo: Release, tmp_path: Path) -> None:
    pulled = pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    record = read_install(tmp_path / "root" / "demo" / "current")
    assert record.serve == demo.variants[0].serve
    assert record.listing.digest == pulled.tree == demo.variants[0].tree
    assert record.reason == pulled.reason
    assert sorted(path.name for path in (tmp_path / "root" / "demo").iterdir()) == ["1.4.0", "current"]
    assert {path.name for path in paths(tmp_path / "root").records.iterdir()} >= {"v2.json", "release.json"}


def test_a_second_pull_downloads_nothing(
    store: Store, demo: Release, between: proxy.Proxy, tmp_path: Path
) -> None:
    first = pull_release(open_store(Settings()), "demo@1.4", tmp_path / "root", facts=HOST)
    count = len(between.blob_requests("GET"))
    second = pull_release(open_store(Settings()), "demo@1.4", tmp_path / "root", facts=HOST)
    assert len(between.blob_requests("GET")) == count
    assert (second.already_installed, second.downloaded_bytes) == (True, 0)
    assert second.directory == first.directory


def test_current_follows_the_last_pull(store: Store, demo: Release, source: Path, tmp_path: Path) -> None:
    (source / "new").touch()
    published(store, variant("v2", store.put_tree(source).digest), content="second")
    for version in ("1.4.0", "1.4.1", "1.4.0"):
        pulled = pull_release(store, f"demo@{version}", tmp_path / "root", facts=HOST)
        current = tmp_path / "root" / "demo" / "current"
        assert current.resolve() == pulled.directory
        assert current.readlink() == Path(version) / "v2"


def test_the_variant_for_this_host_is_pulled(store: Store, source: Path, tmp_path: Path) -> None:
    tree = store.put_tree(source).digest
    publish(store, release(variant("v2", tree), variant("v3", tree, "avx2"), variant("v4", tree, "avx512f")))
    assert pull_release(store, "demo@1.4", tmp_path, facts=HOST).variant == "v3"
    assert pull_release(store, "demo@1.4", tmp_path, variant="v2", facts=HOST).variant == "v2"
    with pytest.raises(NothingFits, match="avx512f"):
        pull_release(store, "demo@1.4", tmp_path, variant="v4", facts=HOST)
    assert not (tmp_path / "demo" / "1.4.0" / "v4").exists()


def test_this_host_is_probed_where_no_facts_are_given(store: Store, demo: Release, tmp_path: Path) -> None:
    assert pull_release(store, "demo@1.4", tmp_path / "root").variant == "v2"


def test_progress_ends_at_the_size_of_the_tree(store: Store, demo: Release, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    pull_release(
        store,
        "demo@1.4",
        tmp_path / "root",
        facts=HOST,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    total = sum(SMALL.values())
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


@pytest.mark.parametrize("damage", ["missing", "truncated", "extra", "link"])
def test_a_damaged_install_is_replaced(
    store: Store, demo: Release, source: Path, tmp_path: Path, damage: str
) -> None:
    directory = pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST).directory
    if damage == "missing":
        (directory / "run").unlink()
    elif damage == "truncated":
        os.truncate(directory / "run", 3)
    elif damage == "extra":
        (directory / "extra").touch()
    else:
        (directory / "link").symlink_to("run")
    with pytest.raises(IntegrityError):
        verify_install(directory)
    assert not pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST).already_installed
    assert scan(directory) == scan(source)


def test_flipped_bytes_in_an_install_are_found_by_verify(store: Store, demo: Release, tmp_path: Path) -> None:
    directory = pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST).directory
    with (directory / "model.pt2").open("r+b") as file:
        file.seek(500)
        file.write(b"\0other")
    with pytest.raises(IntegrityError, match=r"model\.pt2 is damaged") as caught:
        verify_install(tmp_path / "root" / "demo" / "current")
    assert caught.value.exit_code == 6


def test_a_record_that_lists_another_tree_is_found_by_verify(
    store: Store, demo: Release, tmp_path: Path
) -> None:
    pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    record = paths(tmp_path / "root").record
    other = read_install(paths(tmp_path / "root").directory).model_copy(update={"listing": Listing(files=())})
    record.write_text(other.model_dump_json())
    with pytest.raises(IntegrityError, match="different tree"):
        verify_install(paths(tmp_path / "root").directory)
    record.write_text("{")
    with pytest.raises(IntegrityError, match="record is damaged"):
        verify_install(paths(tmp_path / "root").directory)
    assert not pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST).already_installed


@pytest.mark.parametrize("name", ["v2.json", "release.json"])
def test_a_damaged_record_is_written_anew_by_the_next_pull(
    store: Store, demo: Release, tmp_path: Path, name: str
) -> None:
    directory = pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST).directory
    (paths(tmp_path / "root").records / name).write_text("{")
    with pytest.raises(IntegrityError, match="record is damaged") as caught:
        verify_install(directory)
    assert "pull again" in caught.value.fix
    pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    verify_install(directory)


def test_a_directory_that_was_not_pulled_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing that was pulled"):
        verify_install(tmp_path)


def test_a_flipped_byte_in_the_store_installs_nothing(
    store: Store, demo: Release, overwrite: Callable[[str, bytes], None], source: Path, tmp_path: Path
) -> None:
    victim = next(file for file in scan(source).files if file.path == "model.pt2")
    good = (source / "model.pt2").read_bytes()
    overwrite(blob_key(victim.sha256), good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"model\.pt2 is damaged in the store") as caught:
        pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    assert caught.value.exit_code == 6
    assert not paths(tmp_path / "root").directory.exists()
    assert not paths(tmp_path / "root").current.exists()
    overwrite(blob_key(victim.sha256), good)
    pulled = pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    assert pulled.downloaded_bytes >= victim.size
    assert scan(pulled.directory) == scan(source)


@pytest.mark.parametrize("length", [0, 99_999])
def test_a_blob_that_ends_early_installs_nothing(
    store: Store,
    demo: Release,
    overwrite: Callable[[str, bytes], None],
    source: Path,
    tmp_path: Path,
    length: int,
) -> None:
    victim = next(file for file in scan(source).files if file.path == "model.pt2")
    overwrite(blob_key(victim.sha256), (source / "model.pt2").read_bytes()[:length])
    with pytest.raises(IntegrityError):
        pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    assert not paths(tmp_path / "root").directory.exists()


def test_a_broken_connection_is_taken_up_again(
    store: Store, demo: Release, between: proxy.Proxy, tmp_path: Path
) -> None:
    between.cuts_left = 1
    pulled = pull_release(open_store(Settings()), "demo@1.4", tmp_path / "root", facts=HOST)
    assert between.cuts_left == 0
    verify_install(pulled.directory)


def test_connections_that_go_on_breaking_are_reported(
    store: Store, demo: Release, between: proxy.Proxy, tmp_path: Path
) -> None:
    between.cuts_left = 1000
    with pytest.raises(StoreUnreachable):
        pull_release(open_store(Settings()), "demo@1.4", tmp_path / "root", facts=HOST)
    assert not paths(tmp_path / "root").directory.exists()


@pytest.fixture
def large(store: Store, tmp_path: Path) -> Listing:
    """demo@1.4.0 with 45 MB in 12 chunks, the last of each file short."""
    root = random_tree(tmp_path / "large", {f"part-{number}": 3 * PART_BYTES + 7 for number in range(3)})
    listing = scan(root, chunk_bytes=PART_BYTES)
    store.upload(root, listing)
    published(store, variant("v2", listing.digest))
    return listing


def present_chunks(listing: Listing, partial: Path) -> set[tuple[str, int]]:
    """Key and offset of the chunks that a pull has put in place."""
    chunks = [Chunk(file, index, partial / file.path) for file, index in all_chunks(listing)]
    there = [chunk for chunk in chunks if chunk.path.exists() and is_present(chunk)]
    return {(blob_key(chunk.entry.sha256), chunk.entry.span(chunk.number)[0]) for chunk in there}


def kill_a_pull(root: Path, how: signal.Signals, when: Callable[[], bool]) -> None:
    """Run a pull in a process of its own, and end that process once a condition holds."""
    process = subprocess.Popen([sys.executable, "-c", PULL, str(root)], stderr=subprocess.DEVNULL)
    while not when():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(how)
    assert process.wait() == -how


def test_a_pull_that_is_killed_is_finished_by_the_next_without_downloading_twice(
    store: Store, large: Listing, between: proxy.Proxy, tmp_path: Path
) -> None:
    root, partial = tmp_path / "root", paths(tmp_path / "root").partial(large.digest)
    everything = {(blob_key(file.sha256), file.span(index)[0]) for file, index in all_chunks(large)}
    # More than the chunks that can be under way at once, so that some are finished; 4 MiB less than all.
    between.allowance_bytes = DOWNLOAD_THREADS * PART_BYTES + MIB
    kill_a_pull(root, signal.SIGINT, lambda: bool(present_chunks(large, partial)))
    first = present_chunks(large, partial)
    assert set() < first < everything
    between.allowance_bytes = PART_BYTES
    kill_a_pull(root, signal.SIGKILL, lambda: (between.allowance_bytes or 0) <= 0)
    second = present_chunks(large, partial)
    assert first <= second < everything
    assert not paths(root).directory.exists()

    between.allowance_bytes = None
    between.requests.clear()
    pull_release(open_store(Settings()), "demo@1.4.0", root, facts=HOST)
    prefix = f"/enginery-tests/{os.environ['ENGINERY_STORE_PREFIX']}/"
    asked = [(one.key.removeprefix(prefix), one.start) for one in between.blob_requests("GET")]
    assert sorted(asked) == sorted(everything - second)
    verify(paths(root).directory, large)


def test_a_damaged_partial_file_is_mended(store: Store, demo: Release, source: Path, tmp_path: Path) -> None:
    partial = paths(tmp_path / "root").partial(scan(source).digest)
    (partial / "server").mkdir(parents=True)
    (partial / "model.pt2").write_bytes(b"\1" * 100_001)
    (partial / "run").write_bytes(b"\1")
    (partial / "server" / "serve.py").write_bytes((source / "server" / "serve.py").read_bytes())
    pulled = pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    assert pulled.downloaded_bytes == sum(SMALL.values()) - SMALL["server/serve.py"]
    assert scan(pulled.directory) == scan(source)


@pytest.mark.parametrize("step", ["set_mode", "_write_records", "_swap_in", "point_link"])
def test_a_pull_that_ends_between_two_steps_is_finished_without_downloading(
    store: Store, demo: Release, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_arguments: object, **_options: object) -> None:
        raise SystemExit(step)

    with monkeypatch.context() as patch:
        patch.setattr(pulling, step, die)
        with pytest.raises(SystemExit, match=step):
            pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    assert paths(tmp_path / "root").directory.exists() == (step == "point_link")
    pulled = pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    assert pulled.downloaded_bytes == 0
    assert scan(pulled.directory) == scan(source)
    assert paths(tmp_path / "root").current.resolve() == pulled.directory


def test_a_full_disk_is_reported_and_the_next_pull_goes_on(
    store: Store, demo: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int, _data: memoryview, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(LocalDiskError, match="disk is full"):
            pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST)
    verify_install(pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST).directory)


def test_a_disk_that_is_too_small_is_reported_before_the_download(
    store: Store, demo: Release, between: proxy.Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    with pytest.raises(LocalDiskError, match="are needed, but only"):
        pull_release(open_store(Settings()), "demo@1.4", tmp_path / "root", facts=HOST)
    assert between.blob_requests("GET") == []


def test_a_place_that_cannot_be_written_is_reported(store: Store, demo: Release) -> None:
    with pytest.raises(LocalDiskError) as caught:
        pull_release(store, "demo@1.4", Path("/sys/enginery"), facts=HOST)
    assert "/sys/enginery" in caught.value.where


def test_racing_pulls_into_one_root_all_succeed_and_download_once(
    store: Store, demo: Release, between: proxy.Proxy, source: Path, tmp_path: Path
) -> None:
    shared = open_store(Settings())
    with ThreadPoolExecutor(4) as pool:
        pulls = [
            pool.submit(pull_release, shared, "demo@1.4", tmp_path / "root", facts=HOST) for _ in range(4)
        ]
        pulled = [one.result() for one in pulls]
    assert sum(one.downloaded_bytes for one in pulled) == sum(SMALL.values())
    assert sum(not one.already_installed for one in pulled) == 1
    assert scan(pulled[0].directory) == scan(source)
