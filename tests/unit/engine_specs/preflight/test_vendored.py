"""Vendored checkpoints: the facts are those of the Hub's files, and they agree with each other."""

import hashlib
import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import pytest

from engine_specs.preflight import known_checkpoints, vendored_checkpoint
from engine_specs.preflight.known_checkpoints import CHECKPOINTS_DIR, VendoredCheckpoint
from engine_specs.preflight.model_facts import ModelFacts, read_model_facts
from engine_specs.reading import SpecInvalid
from engine_specs.spec import list_specs, load_spec
from flows.demo.hub_repo import DEMO_HUB, read_hub

BYTES_PER_WEIGHT = 2
# The sizes at which publishers begin a new file.
SHARD_LIMITS = (4_000_000_000, 5_000_000_000, 10_000_000_000)

DEMO = "enginery/demo-llama"

# Every checkpoint that the package brings along, by the names of their files.
BROUGHT = sorted(path.stem.replace("--", "/") for path in CHECKPOINTS_DIR.glob("*.yaml"))
LARGE = [repo for repo in BROUGHT if repo != DEMO]

every_checkpoint = pytest.mark.parametrize(
    "checkpoint", [vendored_checkpoint(repo) for repo in LARGE], ids=LARGE
)


def tensors(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes in the order of the modules of transformers' Llama and Qwen3."""
    hidden, inner, vocabulary = (config[k] for k in ("hidden_size", "intermediate_size", "vocab_size"))
    head = config.get("head_dim", hidden // config["num_attention_heads"])
    query, key = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    norms = {"self_attn.q_norm": (head,), "self_attn.k_norm": (head,)}
    layer = {
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key, hidden),
        "self_attn.v_proj": (key, hidden),
        "self_attn.o_proj": (hidden, query),
        **(norms if config["model_type"] == "qwen3" else {}),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for index in range(config["num_hidden_layers"]):
        yield from ((f"model.layers.{index}.{name}.weight", shape) for name, shape in layer.items())
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocabulary, hidden)


def file_size(shard: dict[str, tuple[int, ...]]) -> int:
    """Bytes of a safetensors file: its length field, its padded JSON header, its tensors by name."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in sorted(shard):
        begin, end = end, end + prod(shard[name]) * BYTES_PER_WEIGHT
        header[name] = {"dtype": "BF16", "shape": shard[name], "data_offsets": [begin, end]}
    text = len(json.dumps(header, separators=(",", ":")))
    return 8 + text + -text % 8 + end


def shards(config: dict[str, Any], limit: int) -> list[int]:
    """Sizes of the files, a new one where the next tensor would not fit."""
    found: list[dict[str, tuple[int, ...]]] = [{}]
    filled = 0
    for name, shape in tensors(config):
        size = prod(shape) * BYTES_PER_WEIGHT
        if filled + size > limit:
            found.append({})
            filled = 0
        found[-1][name] = shape
        filled += size
    return [file_size(shard) for shard in found]


def test_the_package_brings_along_the_checkpoint_of_every_shipped_spec_and_no_other() -> None:
    assert set(BROUGHT) == {load_spec(path).checkpoint.repo for path in list_specs()}
    assert [checkpoint and checkpoint.repo for checkpoint in map(vendored_checkpoint, BROUGHT)] == BROUGHT
    assert vendored_checkpoint("nobody/nothing") is None


def test_the_demos_facts_are_those_of_its_files() -> None:
    known, repo = vendored_checkpoint(DEMO), read_hub(DEMO_HUB)["model", DEMO]
    assert known is not None
    content = {file.path: file.source.read_bytes() for file in repo.files}
    assert known.revision == repo.commit
    assert known.config == json.loads(content["config.json"])
    assert known.config_sha256 == hashlib.sha256(content["config.json"]).hexdigest()
    assert known.file_bytes == {path: len(body) for path, body in content.items()}
    index = json.loads(content["model.safetensors.index.json"])
    assert known.tensor_bytes == index["metadata"]["total_size"]


@every_checkpoint
def test_the_config_is_the_hubs_file_byte_for_byte(checkpoint: VendoredCheckpoint) -> None:
    text = json.dumps(checkpoint.config, indent=2)
    rendered = [content.encode() for content in (text, text + "\n")]
    of_its_size = [r for r in rendered if len(r) == checkpoint.file_bytes["config.json"]]
    assert [hashlib.sha256(r).hexdigest() for r in of_its_size] == [checkpoint.config_sha256]


@every_checkpoint
def test_config_tensors_and_files_agree_to_the_byte(checkpoint: VendoredCheckpoint) -> None:
    weights = sum(prod(shape) for _, shape in tensors(checkpoint.config))
    assert weights * BYTES_PER_WEIGHT == checkpoint.tensor_bytes
    files = sorted(checkpoint.file_bytes.items())
    sizes = [size for name, size in files if name.endswith(".safetensors")]
    assert sizes in [shards(checkpoint.config, limit) for limit in SHARD_LIMITS]


@every_checkpoint
def test_preflight_counts_the_same_weights(checkpoint: VendoredCheckpoint) -> None:
    facts = read_model_facts(checkpoint.config, checkpoint.file_bytes)
    assert isinstance(facts, ModelFacts)
    assert facts.surplus_bytes == 0
    assert facts.counted_bytes == pytest.approx(checkpoint.tensor_bytes, rel=1e-5)


@every_checkpoint
def test_every_group_of_facts_names_its_source(checkpoint: VendoredCheckpoint) -> None:
    assert set(checkpoint.sources) == {"revision", "config", "file_bytes", "tensor_bytes"}
    assert all(len(source) > 40 for source in checkpoint.sources.values())
    assert "tokenizer.json" in checkpoint.file_bytes


def test_a_file_that_is_named_after_another_repository_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (known_checkpoints.CHECKPOINTS_DIR / "Qwen--Qwen3-8B.yaml").read_text()
    (tmp_path / "Qwen--Qwen4.yaml").write_text(text)
    monkeypatch.setattr(known_checkpoints, "CHECKPOINTS_DIR", tmp_path)
    with pytest.raises(SpecInvalid, match="Qwen/Qwen4, as the file is named"):
        vendored_checkpoint("Qwen/Qwen4")
