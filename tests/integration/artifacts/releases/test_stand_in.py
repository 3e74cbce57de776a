"""What a stand-in of a tool built becomes neither a release nor an installed directory, whoever asks."""

from pathlib import Path

import pytest
from support.engines.stand_ins import put_engine
from support.stores.releases import published, release, variant

from artifacts.canonical import canonical_bytes
from artifacts.errors import IntegrityError, StandInRefused
from artifacts.hosts import HostFacts
from artifacts.releases import list_releases, pull_release
from artifacts.releases.releases import publish, release_key
from artifacts.store import Store

HOST = HostFacts(machine="x86_64", cpu_features=())


@pytest.mark.parametrize("verdict", ["compile", "stay-on-vllm"])
def test_a_release_of_a_stand_ins_tree_is_refused(store: Store, tmp_path: Path, verdict: str) -> None:
    tree = put_engine(store, tmp_path / "engine")
    with pytest.raises(StandInRefused, match="was to be published") as caught:
        publish(store, release(variant("v2", tree, verdict=verdict)))
    assert caught.value.exit_code == 3
    assert tree in str(caught.value)
    assert list_releases(store, "demo") == ()


def test_one_stand_in_among_real_engines_stops_the_release(store: Store, tmp_path: Path) -> None:
    real = put_engine(store, tmp_path / "real", stand_in=False)
    made_up = put_engine(store, tmp_path / "stand-in")
    with pytest.raises(StandInRefused, match=made_up):
        publish(store, release(variant("one", real), variant("other", made_up)))
    assert list_releases(store, "demo") == ()


def test_a_report_is_no_way_around(store: Store, tmp_path: Path) -> None:
    tree = put_engine(store, tmp_path / "engine")
    checkpoint = put_engine(store, tmp_path / "checkpoint", stand_in=False)
    with pytest.raises(StandInRefused):
        publish(store, release(variant("v2", verdict="rejected", checkpoint_tree=checkpoint, report=tree)))


def test_a_real_engine_is_published_and_pulled(store: Store, tmp_path: Path) -> None:
    tree = put_engine(store, tmp_path / "engine", stand_in=False)
    published(store, variant("v2", tree))
    assert pull_release(store, "demo@1.4", tmp_path / "root", facts=HOST).tree == tree


def test_a_release_that_was_written_behind_our_back_is_not_installed(store: Store, tmp_path: Path) -> None:
    forged = release(variant("v2", put_engine(store, tmp_path / "engine")))
    store.bucket.put(release_key("demo", forged.version), canonical_bytes(forged))
    with pytest.raises(StandInRefused, match="was to be installed"):
        pull_release(store, "demo@1.4.0", tmp_path / "root", facts=HOST)
    assert not (tmp_path / "root" / "demo" / "1.4.0" / "v2").exists()
    assert not (tmp_path / "root" / "demo" / "current").exists()


@pytest.mark.parametrize("text", ['{"stand_in": "no"}', '{"stand_in": 0}', "[]", "not JSON"])
def test_an_engine_json_that_cannot_be_read_is_not_taken_for_a_real_one(
    store: Store, tmp_path: Path, text: str
) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "engine.json").write_text(text)
    tree = store.put_tree(tmp_path / "engine").digest
    with pytest.raises(IntegrityError):
        publish(store, release(variant("v2", tree)))
