"""Fetching through the real client, from a Hub that answers well."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.checkpoints.repositories import SHARDS, safetensors, sharded_model, write_repo
from support.servers.hub_faults import Fault, FaultyHub

from tasks.errors import CheckpointUnsupported, RevisionNotPinned
from tasks.hub import HubAccess, Repository, headers, resolve_revision
from tasks.hub.checkpoint import fetch, metadata

TINY = Repository(kind="model", id="acme/tiny")
CHECKPOINT = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors.index.json",
    *SHARDS,
}

StartHub = Callable[..., FaultyHub]
AccessTo = Callable[..., HubAccess]


def quiet(_line: str) -> None:
    pass


def commit_of(hub: FaultyHub, repo: Repository = TINY) -> str:
    return hub.repos[repo.kind, repo.id].commit


def test_a_fetched_checkpoint_holds_exactly_the_selected_files(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    source = sharded_model(hub_root)
    hub = start_hub()
    report = fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), quiet)
    files = {path.name: path for path in (tmp_path / "dest").iterdir()}
    assert files.keys() == CHECKPOINT == {file.path for file in report.selection.files}
    assert not any(path.is_symlink() for path in files.values())
    assert all(path.read_bytes() == (source / name).read_bytes() for name, path in files.items())
    assert report.total_bytes == sum(path.stat().st_size for path in files.values())
    reasons = {refused.path: refused.reason for refused in report.selection.refused}
    assert "pickle" in reasons["pytorch_model.bin"]
    assert "index does not name" in reasons["adapter_model.safetensors"]
    assert "code" in reasons["modeling_tiny.py"]
    assert hub.count("GET", "*.bin") + hub.count("GET", "*.pth") + hub.count("GET", "*.py") == 0


def test_metadata_costs_headers_of_weights_and_no_weights(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo
) -> None:
    sharded_model(hub_root)
    hub = start_hub()
    facts = metadata(TINY, commit_of(hub), access_to(hub), quiet)
    assert facts.config["hidden_size"] == 64
    assert facts.file_bytes.keys() == CHECKPOINT
    assert facts.file_bytes[SHARDS[0]] == (hub_root / "acme/tiny" / SHARDS[0]).stat().st_size
    assert facts.small.tensor_types == {"layer.0.weight": "BF16", "layer.1.weight": "BF16"}
    assert facts.small.json_files == {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}
    assert hub.count("GET", "*.safetensors") == len(SHARDS)
    cached = {path.name for path in access_to(hub).cache_dir.rglob("*") if path.is_file()}
    assert not any(name.endswith(".safetensors") for name in cached)


def test_a_header_of_any_length_is_read_without_weights(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharded_model(hub_root)
    hub = start_hub()
    monkeypatch.setattr(headers, "FIRST_BYTES", 20)
    facts = metadata(TINY, commit_of(hub), access_to(hub), quiet)
    assert set(facts.small.tensor_types.values()) == {"BF16"}
    assert hub.count("GET", "*.safetensors") == 2 * len(SHARDS)


def test_quantized_weights_show_before_they_are_fetched(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo
) -> None:
    source = sharded_model(hub_root)
    (source / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    weights = safetensors({"layer.0.weight": (4, 4)}).replace(b'"BF16"', b'"U8"  ')
    (source / SHARDS[0]).write_bytes(weights)
    hub = start_hub()
    facts = metadata(TINY, commit_of(hub), access_to(hub), quiet)
    assert facts.small.tensor_types["layer.0.weight"] == "U8"
    assert facts.small.content("hf_quant_config.json") == {"quantization": {"quant_algo": "FP8"}}


def test_pointers_that_were_committed_in_place_of_weights_are_refused(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo
) -> None:
    source = sharded_model(hub_root)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4976698672\n"
    (source / SHARDS[1]).write_text(pointer)
    hub = start_hub()
    with pytest.raises(CheckpointUnsupported, match="not a safetensors file: it has 1") as refusal:
        metadata(TINY, commit_of(hub), access_to(hub), quiet)
    assert SHARDS[1] in refusal.value.where
    assert "Git LFS" in refusal.value.fix


def test_a_strange_name_that_is_not_selected_is_left_on_the_hub(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    source = sharded_model(hub_root)
    (source / "cafe\u0301.png").write_bytes(b"x")
    hub = start_hub()
    report = fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), quiet)
    assert {path.name for path in (tmp_path / "dest").iterdir()} == CHECKPOINT
    assert "cafe\u0301.png" in {refused.path for refused in report.selection.refused}


def test_the_clients_environment_is_honoured(
    hub_root: Path, start_hub: StartHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharded_model(hub_root, mode="gated", tokens=["secret"])
    hub = start_hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    access = HubAccess.from_environment()
    fetch(TINY, commit_of(hub), tmp_path / "dest", access, quiet)
    assert access.endpoint == hub.url
    assert "secret" not in repr(access)
    assert (tmp_path / "hf-home/hub/models--acme--tiny").is_dir()


def test_a_branch_is_refused_with_the_commit_to_pin_and_followed_only_where_tracked(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo
) -> None:
    sharded_model(hub_root, tags=["v1"])
    hub = start_hub()
    access = access_to(hub)
    commit = commit_of(hub)
    with pytest.raises(RevisionNotPinned, match="'main'") as refusal:
        resolve_revision(TINY, "main", track=False, access=access)
    assert commit in refusal.value.fix
    tracked = resolve_revision(TINY, "v1", track=True, access=access)
    assert tracked.commit == commit
    assert "tracked" in tracked.reason
    hub.requests.clear()
    assert resolve_revision(TINY, commit, track=False, access=access).reason == "pinned by the spec"
    assert not hub.requests


def test_a_repository_with_pickles_only_is_refused_with_what_to_do(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    files = {"config.json": {"architectures": ["LlamaForCausalLM"]}, "pytorch_model.bin": b"\x80\x02"}
    write_repo(hub_root / "acme" / "tiny", files, {})
    hub = start_hub()
    with pytest.raises(CheckpointUnsupported, match=r"only pickled weights \(pytorch_model.bin\)") as refusal:
        fetch(TINY, commit_of(hub), tmp_path / "dest", access_to(hub), quiet)
    assert "safetensors" in refusal.value.fix
    assert hub.count("GET", "*pytorch_model.bin") == 0


def test_a_killed_download_goes_on_with_files_and_bytes_that_had_arrived(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    sharded_model(hub_root)
    hub = start_hub(Fault("stall", f"*/{SHARDS[1]}"))
    access = access_to(hub)
    shard = hub.repos[TINY.kind, TINY.id].file(SHARDS[1])
    assert shard is not None
    part = access.cache_dir / "models--acme--tiny" / "blobs" / f"{shard.sha256}.part"
    program = (
        "import sys; from pathlib import Path; from tasks.hub.checkpoint import fetch;"
        "from tasks.hub.client import Repository;"
        "from tasks.hub.access import HubAccess;"
        "fetch(Repository(kind='model', id='acme/tiny'), sys.argv[1], Path(sys.argv[2]),"
        "HubAccess.from_environment(), lambda line: print(line, flush=True))"
    )
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(access.cache_dir)}
    with subprocess.Popen(
        [sys.executable, "-c", program, commit_of(hub), str(tmp_path / "first")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any(SHARDS[0] in line for line in process.stdout)
        while not part.exists() or not part.stat().st_size:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    hub.faults.clear()
    hub.requests.clear()
    hub.ranges.clear()
    source = hub_root / "acme/tiny" / SHARDS[1]
    kept = part.stat().st_size
    fetch(TINY, commit_of(hub), tmp_path / "second", access, quiet)
    assert hub.count("GET", f"*/{SHARDS[0]}") == 0
    assert hub.starts(f"*/{SHARDS[1]}") == [str(kept)]
    assert (tmp_path / "second" / SHARDS[1]).read_bytes() == source.read_bytes()


def test_the_demo_checkpoint_is_fetched_as_its_spec_pins_it(tmp_path: Path) -> None:
    from support.servers.hub_faults import faulty_hub

    from flows.demo.hub_repo import DEMO_HUB

    repo = Repository(kind="model", id="enginery/demo-llama")
    with faulty_hub(DEMO_HUB) as hub:
        access = HubAccess(endpoint=hub.url, cache_dir=tmp_path / "cache")
        report = fetch(repo, commit_of(hub, repo), tmp_path / "dest", access, quiet)
    index = json.loads((tmp_path / "dest/model.safetensors.index.json").read_text())
    shards = set(index["weight_map"].values())
    assert len(shards) == 3
    assert shards <= {path.name for path in (tmp_path / "dest").iterdir()}
    digests = {file.path: file.sha256 for file in report.selection.files if file.sha256}
    assert all(
        hashlib.sha256((tmp_path / "dest" / shard).read_bytes()).hexdigest() == digests[shard]
        for shard in shards
    )


@pytest.mark.parametrize(
    ("named", "read"), [("LlamaTokenizerFast", True), ("PreTrainedTokenizerFast", False)]
)
def test_tokenizer_json_is_read_without_its_vocabulary_if_its_class_may_read_it_differently(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, named: str, read: bool
) -> None:
    source = sharded_model(hub_root)
    (source / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": named}))
    steps = {"normalizer": None, "pre_tokenizer": {"type": "ByteLevel"}, "decoder": {"type": "ByteLevel"}}
    (source / "tokenizer.json").write_text(json.dumps(steps | {"model": {"vocab": {"a": 0}}}))
    hub = start_hub()
    facts = metadata(TINY, commit_of(hub), access_to(hub), quiet)
    assert facts.small.content("tokenizer.json") == (steps if read else {})
