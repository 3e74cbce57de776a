"""A release over several kinds of hosts: each judges what it has the hardware for, any of them publishes."""

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.programs.processes import wait_until
from support.servers.gate import gate_before
from support.servers.seaweed import S3Server, s3_client
from support.stores.hosts import COMMIT, FILE, SPEC, Host, variant_named

from artifacts.errors import IntegrityError, NotFound, StandInRefused
from artifacts.releases import Release, list_releases
from artifacts.releases.channels import read_channel
from artifacts.settings import Settings
from artifacts.store import Store, open_store
from engine_specs.spec import read_spec
from tasks.stages import Published, Withheld, verdicts
from tasks.stages.publish import publish
from tasks.stages.verdicts import verdict_key


@pytest.fixture
def host(settings: Settings, store: Store, tmp_path: Path) -> Callable[[str], Host]:
    return lambda name: Host(settings, store, tmp_path / name)


@pytest.fixture
def delete(store: Store, s3_server: S3Server) -> Callable[[str], None]:
    client, prefix = s3_client(s3_server), os.environ["ENGINERY_STORE_PREFIX"]
    return lambda key: client.delete_object(Bucket=os.environ["ENGINERY_STORE_BUCKET"], Key=f"{prefix}/{key}")


def names(release: Release) -> list[str]:
    return [entry.name for entry in release.variants]


def test_a_host_without_the_required_gpu_says_what_is_missing_and_the_next_host_publishes_both(
    host: Callable[[str], Host], store: Store
) -> None:
    l40s, h100 = host("l40s"), host("h100")
    held = publish(l40s.pipeline, SPEC, COMMIT, [l40s.judge("l40s")])
    assert isinstance(held, Withheld)
    assert "h100 (needs 1 x NVIDIA H100 SXM5 with 80 GB: target h100-sxm)" in held.reason
    assert "a100" not in held.reason, "it is not required"
    assert list(store.bucket.keys(f"releases/{SPEC.name}/")) == []

    release = h100.publish(h100.judge("h100"))
    assert (release.version, names(release)) == ("0.1.0", ["h100", "l40s"])
    assert any("carried over: l40s" in line for line in h100.said)


def test_a_host_that_comes_later_publishes_the_next_patch_with_what_the_others_judged(
    host: Callable[[str], Host], store: Store
) -> None:
    h100, a100 = host("h100"), host("a100")
    first = h100.publish(h100.judge("h100"))
    second = a100.publish(a100.judge("a100"))
    assert (second.version, names(second)) == ("0.1.1", ["h100", "a100"])
    assert second.variants[0] == first.variants[0]
    assert read_channel(store, SPEC.name, "nightly").version == "0.1.1"
    again = h100.publish(first.variants[0])
    assert again == second, "the first host has nothing new, and finds the other's release"


def test_the_newest_verdict_of_a_variant_counts(host: Callable[[str], Host]) -> None:
    h100, l40s, other = host("h100"), host("l40s"), host("other")
    l40s.judge("l40s")
    other.judge("l40s", verdict="rejected")
    release = h100.publish(h100.judge("h100"))
    assert [entry.verdict for entry in release.variants] == ["compile", "rejected"]


def test_a_required_variant_that_another_host_rejected_withholds(host: Callable[[str], Host]) -> None:
    h100, l40s = host("h100"), host("l40s")
    h100.judge("h100", verdict="rejected")
    held = publish(l40s.pipeline, SPEC, COMMIT, [l40s.judge("l40s")])
    assert isinstance(held, Withheld)
    assert "h100 is rejected" in held.reason


def test_a_verdict_on_another_commit_or_by_other_words_is_not_carried_over(
    host: Callable[[str], Host],
) -> None:
    h100, l40s = host("h100"), host("l40s")
    l40s.judge("l40s")
    judged = h100.judge("h100")
    assert names(h100.publish(judged, commit="0" * 40)) == ["h100"]
    text = FILE.read_text()
    assert "input_tokens: 1024" in text
    changed = read_spec(text.replace("input_tokens: 1024", "input_tokens: 2048"), FILE)
    assert names(h100.publish(h100.judge("h100", spec=changed), spec=changed)) == ["h100"]


def test_a_verdict_of_an_older_way_of_judging_is_not_carried_over(
    host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    h100, l40s = host("h100"), host("l40s")
    with monkeypatch.context() as older:
        older.setattr(verdicts, "WAY_OF_JUDGING", ("by the first token/1",))
        l40s.judge("l40s")
    assert names(h100.publish(h100.judge("h100"))) == ["h100"]


def test_whether_a_variant_is_required_is_asked_of_the_spec_that_publishes(
    host: Callable[[str], Host],
) -> None:
    h100, l40s = host("h100"), host("l40s")
    l40s.judge("l40s")
    text = FILE.read_text().replace("target: l40s\n    required: false", "target: l40s")
    stricter = read_spec(text, FILE)
    assert variant_named(stricter, "l40s").required
    release = h100.publish(h100.judge("h100"), spec=stricter)
    assert [entry.required for entry in release.variants] == [True, True]


def test_a_kept_verdict_whose_tree_is_gone_or_a_stand_ins_is_refused_and_takes_no_version(
    host: Callable[[str], Host], store: Store, delete: Callable[[str], None]
) -> None:
    h100, l40s = host("h100"), host("l40s")
    judged = h100.judge("h100")
    entry = l40s.judge("l40s")
    delete(f"trees/sha256/{entry.tree}")
    with pytest.raises(NotFound, match=f"tree {entry.tree} of variant l40s"):
        h100.publish(judged)
    l40s.judge("l40s", stand_in=True)
    with pytest.raises(StandInRefused, match="was to be published"):
        h100.publish(judged)
    assert list(store.bucket.keys(f"releases/{SPEC.name}/")) == []


def test_a_verdict_under_the_key_of_another_one_is_refused(
    host: Callable[[str], Host], store: Store, overwrite: Callable[[str, bytes], None]
) -> None:
    h100, l40s = host("h100"), host("l40s")
    l40s.judge("l40s")
    judged = h100.judge("h100")
    theirs, its = (verdict_key(SPEC, variant_named(SPEC, name), COMMIT).prefix for name in ("l40s", "a100"))
    (key,) = store.bucket.keys(theirs)
    overwrite(key.replace(theirs, its), store.bucket.get(key).body)
    with pytest.raises(IntegrityError, match=r"does not belong under its key: .*/l40s/"):
        h100.publish(judged)


def test_a_stray_object_among_the_verdicts_stops_nobody(
    host: Callable[[str], Host], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    h100, l40s = host("h100"), host("l40s")
    l40s.judge("l40s")
    stray = f"{verdict_key(SPEC, variant_named(SPEC, 'l40s'), COMMIT).prefix}zzz.txt"
    store.bucket.put(stray, b"")
    assert names(h100.publish(h100.judge("h100"))) == ["h100", "l40s"]
    assert stray in caplog.text


def test_a_host_that_judges_while_another_publishes_is_in_the_later_version(
    host: Callable[[str], Host], store: Store
) -> None:
    """The other host keeps its verdict and publishes after this one looked, before it took a version."""
    h100, l40s = host("h100"), host("l40s")
    judged = h100.judge("h100")
    others: list[Release] = []

    def meanwhile(line: str) -> None:
        if "not judged yet" in line and not others:
            others.append(l40s.publish(l40s.judge("l40s")))

    h100.pipeline.say = meanwhile
    release = h100.publish(judged)
    assert others == [release]
    assert [names(one) for one in list_releases(store, SPEC.name)] == [["h100", "l40s"]]
    assert read_channel(store, SPEC.name, "nightly").version == release.version


def test_a_required_variant_that_is_rejected_while_another_host_publishes_withholds(
    host: Callable[[str], Host], store: Store
) -> None:
    h100, l40s = host("h100"), host("l40s")
    h100.judge("h100")
    judged = l40s.judge("l40s")

    def meanwhile(line: str) -> None:
        if "carried over: h100" in line:
            h100.judge("h100", verdict="rejected")

    l40s.pipeline.say = meanwhile
    held = publish(l40s.pipeline, SPEC, COMMIT, [judged])
    assert isinstance(held, Withheld)
    assert "h100 is rejected" in held.reason
    assert list_releases(store, SPEC.name) == ()


def test_a_channel_that_another_host_moved_on_is_not_moved_back(
    settings: Settings,
    host: Callable[[str], Host],
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first host has published, and its move of the channel is held back until the second one is done."""
    l40s = host("l40s")
    with gate_before(os.environ["AWS_ENDPOINT_URL_S3"]) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", gate.endpoint)
        slow = Host(settings, open_store(Settings()), tmp_path / "slow")
        first = slow.judge("h100")
        gate.close_at(r"PUT /.*/channels/")
        with ThreadPoolExecutor() as pool:
            publishing = pool.submit(slow.publish, first)
            try:
                wait_until(lambda: gate.reached or publishing.done())
                second = l40s.publish(l40s.judge("l40s"))
            finally:
                gate.open()
            assert publishing.result().version == "0.1.0"
    assert (second.version, names(second)) == ("0.1.1", ["h100", "l40s"])
    assert read_channel(store, SPEC.name, "nightly").version == "0.1.1"


def test_hosts_that_publish_at_once_end_with_all_of_their_verdicts_in_the_newest_release(
    host: Callable[[str], Host], store: Store
) -> None:
    kinds = ("h100", "l40s", "a100", "h200")
    start = threading.Barrier(len(kinds))
    outcomes: list[Published | Withheld] = []

    def run(name: str) -> None:
        one = host(name)
        start.wait()
        outcomes.append(publish(one.pipeline, SPEC, COMMIT, [one.judge(name)]))

    threads = [threading.Thread(target=run, args=(name,)) for name in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(kinds)
    releases = list_releases(store, SPEC.name)
    held = [set(names(release)) for release in releases]
    assert held[-1] == set(kinds)
    assert all(earlier < later for earlier, later in itertools.pairwise(held)), held
    assert read_channel(store, SPEC.name, "nightly").version == releases[-1].version
