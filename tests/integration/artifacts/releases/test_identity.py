"""Records are what their keys say, recorded versions stay what they were, and what no pull made is kept."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.programs.cli import run_here
from support.stores.releases import RECIPE, published, release, variant
from support.stores.trees import random_tree

from artifacts.canonical import canonical_bytes
from artifacts.errors import IntegrityError, InTheWay, NothingFits
from artifacts.hosts import HostFacts
from artifacts.releases import Release, list_channels, list_releases, move_channel, pull_release, read_release
from artifacts.releases import pull as pulling
from artifacts.releases.channels import read_channel
from artifacts.releases.installs import RESERVED_VARIANTS, InstallPaths
from artifacts.releases.releases import release_key
from artifacts.store import Store
from artifacts.store.trees import scan
from engine_specs.reading import names

Overwrite = Callable[[str, bytes], None]
HOST = HostFacts(machine="x86_64", cpu_features=())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return random_tree(tmp_path / "source", {"model": 100})


@pytest.fixture
def other(store: Store, tmp_path: Path) -> str:
    """Digest of another tree in the store."""
    return store.put_tree(random_tree(tmp_path / "other", {"model": 100}, seed=1)).digest


@pytest.fixture
def demo(store: Store, source: Path) -> Release:
    """demo@1.4.0."""
    return published(store, variant("v2", store.put_tree(source).digest))


def paths(root: Path) -> InstallPaths:
    return InstallPaths(root, "demo", "1.4.0", "v2")


def test_a_release_under_another_key_is_not_installed(
    store: Store, demo: Release, overwrite: Overwrite, tmp_path: Path
) -> None:
    pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    before = scan(paths(tmp_path / "root").directory)
    forged = demo.model_copy(update={"variants": (variant("v2", "1" * 64),)})
    overwrite(release_key("harmless", "3.0.0"), canonical_bytes(forged))
    for ask in (
        lambda: pull_release(store, "harmless@3.0.0", tmp_path / "root", facts=HOST),
        lambda: pull_release(store, "harmless@3.0", tmp_path / "root", facts=HOST),
        lambda: read_release(store, "harmless", "3.0.0"),
    ):
        with pytest.raises(IntegrityError, match=r"by its content it is releases/demo/1\.4\.0/") as caught:
            ask()
        assert caught.value.exit_code == 6
    assert scan(paths(tmp_path / "root").directory) == before
    assert not (tmp_path / "root" / "harmless").exists()
    ended = run_here("pull", "harmless@3.0.0", "--to", tmp_path / "root")
    assert ended.returncode == 6


@pytest.mark.parametrize("body", [b"{", None])
def test_a_bad_record_among_releases_is_named_and_hides_none_of_the_others(
    store: Store, demo: Release, overwrite: Overwrite, body: bytes | None
) -> None:
    key = release_key("demo", "1.3.9")
    overwrite(key, canonical_bytes(demo) if body is None else body)
    ended = run_here("list", "--json")
    assert [one["version"] for one in json.loads(ended.stdout)] == ["1.4.0"]
    assert ended.returncode == 6
    assert key in ended.stderr
    assert "1 record is damaged" in ended.stderr
    assert ": :" not in ended.stderr
    (bad, good) = list_releases(store, "demo")
    assert isinstance(bad, IntegrityError)
    assert good == demo


def test_a_channel_under_another_key_is_refused(store: Store, demo: Release, overwrite: Overwrite) -> None:
    move_channel(store, "nightly", demo, "built")
    body = store.bucket.get("channels/demo/nightly.json").body
    overwrite("channels/demo/stable.json", body)
    overwrite("channels/other/nightly.json", body)
    for ask in (
        lambda: read_channel(store, "demo", "stable"),
        lambda: read_channel(store, "other", "nightly"),
        lambda: list_channels(store, "demo"),
        lambda: move_channel(store, "stable", demo, "promoted"),
    ):
        with pytest.raises(IntegrityError, match=r"by its content it is channels/demo/nightly\.json"):
            ask()


@pytest.mark.parametrize("changed", ["tree", "recipe"])
def test_a_version_that_was_recorded_here_stays_what_it_was(
    store: Store,
    demo: Release,
    other: str,
    overwrite: Overwrite,
    tmp_path: Path,
    changed: str,
) -> None:
    first = pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    before = scan(first.directory)
    update = {"tree": other} if changed == "tree" else {"serve": RECIPE.model_copy(update={"argv": ("sh",)})}
    forged = demo.model_copy(update={"variants": (demo.variants[0].model_copy(update=update),)})
    overwrite(release_key("demo", "1.4.0"), canonical_bytes(forged))
    with pytest.raises(IntegrityError, match="not what this host recorded; changed: variant v2") as caught:
        pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert caught.value.exit_code == 6
    assert scan(first.directory) == before


def test_the_record_of_the_install_alone_keeps_its_tree_too(
    store: Store, demo: Release, other: str, overwrite: Overwrite, tmp_path: Path
) -> None:
    first = pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    before = scan(first.directory)
    paths(tmp_path / "root").release.unlink()
    forged = demo.model_copy(update={"variants": (variant("v2", other),)})
    overwrite(release_key("demo", "1.4.0"), canonical_bytes(forged))
    with pytest.raises(IntegrityError, match=f"from {first.tree} to {other}"):
        pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert scan(first.directory) == before


@pytest.mark.parametrize("place", ["demo/1.4.0/v2", "demo/current"])
def test_a_directory_that_no_pull_made_is_left_alone(
    store: Store, demo: Release, tmp_path: Path, place: str
) -> None:
    mine = tmp_path / "root" / place / "mine"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    with pytest.raises(InTheWay, match="was not made by a pull") as caught:
        pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert caught.value.exit_code == 2
    assert mine.read_text() == "years of work"


def test_a_file_in_the_place_of_the_link_is_left_alone(store: Store, demo: Release, tmp_path: Path) -> None:
    (tmp_path / "root" / "demo").mkdir(parents=True)
    (tmp_path / "root" / "demo" / "current").write_text("mine")
    with pytest.raises(InTheWay):
        pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert (tmp_path / "root" / "demo" / "current").read_text() == "mine"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/srv/tuned", "a pull links to VERSION/VARIANT"),
        ("../elsewhere", "a pull links to VERSION/VARIANT"),
        ("tuned/v2", "a pull links to VERSION/VARIANT"),
        ("1.4.0/v2/deeper", "a pull links to VERSION/VARIANT"),
        ("1.3.0/tuned", "of which there is no record"),
    ],
)
@pytest.mark.parametrize("pulled_before", [False, True])
def test_a_link_that_no_pull_made_is_refused_before_anything_is_changed(
    store: Store, demo: Release, tmp_path: Path, target: str, why: str, pulled_before: bool
) -> None:
    root = tmp_path / "root"
    if pulled_before:
        pull_release(store, "demo@1.4.0", root, facts=HOST)
        paths(root).current.unlink()
    (root / "demo" / "1.3.0" / "tuned").mkdir(parents=True)
    paths(root).current.symlink_to(target)
    before = sorted(root.rglob("*"))
    ended = run_here("pull", "demo@1.4.0", "--to", root)
    assert ended.returncode == 2
    assert f"current was not made by a pull: it links to {target}, " in ended.stderr
    assert why in ended.stderr
    assert "move it away" in ended.stderr
    assert paths(root).current.readlink() == Path(target)
    assert sorted(root.rglob("*")) == before


def test_a_link_that_is_made_during_a_download_is_left_alone(
    store: Store, demo: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current, record_release = paths(tmp_path / "root").current, pulling.record_release

    def record_and_link(at: InstallPaths, found: Release) -> None:
        record_release(at, found)
        if not current.is_symlink():
            current.symlink_to("/srv/tuned")

    monkeypatch.setattr(pulling, "record_release", record_and_link)
    with pytest.raises(InTheWay, match="links to /srv/tuned"):
        pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert current.readlink() == Path("/srv/tuned")


@pytest.mark.parametrize("removed", ["1.4.0", "1.4.0/v2"])
def test_the_link_to_a_version_that_was_removed_since_is_replaced(
    store: Store, demo: Release, tmp_path: Path, removed: str
) -> None:
    pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    again = published(store, variant("v2", demo.variant("v2").tree or ""), content="second")
    shutil.rmtree(tmp_path / "root" / "demo" / removed)
    pulled = pull_release(store, f"demo@{again.version}", tmp_path / "root", facts=HOST)
    assert paths(tmp_path / "root").current.resolve() == pulled.directory


@pytest.mark.parametrize("name", [*RESERVED_VARIANTS, "1.4.0"])
def test_a_variant_with_a_name_of_the_records_is_not_installed(
    store: Store, source: Path, tmp_path: Path, name: str
) -> None:
    published(store, variant(name, store.put_tree(source).digest))
    with pytest.raises(NothingFits, match=f"variant '{name}' of demo@1.4.0 cannot be installed"):
        pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert not (tmp_path / "root" / "demo").exists()


def test_specs_reserve_the_names_that_installs_need() -> None:
    assert names.RESERVED_VARIANTS == RESERVED_VARIANTS
    assert all(names.is_reserved(name) for name in (*RESERVED_VARIANTS, "1.4.0"))
    assert not any(names.is_reserved(name) for name in ("cpu-int8", "release-fast", "1.4", "h100"))


def test_a_release_with_another_publications_fingerprint_is_another_release(
    store: Store, demo: Release, overwrite: Overwrite, tmp_path: Path
) -> None:
    pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    again = release(*demo.variants, content="made anew")
    overwrite(release_key("demo", "1.4.0"), canonical_bytes(again))
    with pytest.raises(IntegrityError, match="publication_fingerprint"):
        pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
