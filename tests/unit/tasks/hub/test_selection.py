"""Which files make a checkpoint."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import CheckpointUnsupported
from tasks.hub.selection import INDEX_FILE, HubFile, read_index, select_files

WHERE = "model acme/tiny at main"


def listing(*paths: str) -> list[HubFile]:
    return [HubFile(path=path, size_bytes=len(path), blob_id="0" * 40) for path in paths]


def test_the_single_file_is_taken_where_there_is_no_index() -> None:
    files = listing("config.json", "model.safetensors", "model.fp16.safetensors", "tokenizer.model")
    selection = select_files(files, frozenset(), where=WHERE)
    assert [file.path for file in selection.files] == ["config.json", "model.safetensors", "tokenizer.model"]
    assert selection.total_bytes == sum(file.size_bytes for file in selection.files)
    assert [refused.path for refused in selection.refused] == ["model.fp16.safetensors"]


def test_the_index_wins_over_a_single_file_beside_it() -> None:
    files = listing("config.json", "model.safetensors", INDEX_FILE, "part-1.safetensors")
    selection = select_files(files, frozenset({"part-1.safetensors"}), where=WHERE)
    assert {file.path for file in selection.files} == {"config.json", INDEX_FILE, "part-1.safetensors"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("pytorch_model.bin", "pickle"),
        ("training_args.pt", "pickle"),
        ("tokenization_own.py", "code"),
        ("model-q4.gguf", "another format"),
        ("onnx/config.json", "in a folder"),
        ("README.md", "not part of"),
    ],
)
def test_what_is_left_out_has_its_reason(path: str, reason: str) -> None:
    selection = select_files(listing("config.json", "model.safetensors", path), frozenset(), where=WHERE)
    assert [refused.path for refused in selection.refused] == [path]
    assert reason in selection.refused[0].reason


@pytest.mark.parametrize(
    ("paths", "shards", "what"),
    [
        (["model.safetensors"], set(), r"no config\.json"),
        (["config.json", "pytorch_model.bin"], set(), "only pickled weights"),
        (["config.json", "model.gguf"], set(), "no weights that can be read"),
        (["config.json", "a.safetensors"], {"a.safetensors", "b.safetensors"}, r"names b\.safetensors"),
    ],
)
def test_a_repository_without_usable_weights_is_refused(
    paths: list[str], shards: set[str], what: str
) -> None:
    with pytest.raises(CheckpointUnsupported, match=what) as refusal:
        select_files(listing(*paths), frozenset(shards), where=WHERE)
    assert refusal.value.where == WHERE
    assert refusal.value.fix


@given(st.sets(st.sampled_from(["config.json", "x.bin", "a/b.json", "m.py", "vocab.json", "x.safetensors"])))
def test_every_file_is_selected_or_refused_never_both(extra: set[str]) -> None:
    paths = {"config.json", "model.safetensors"} | extra
    selection = select_files(listing(*paths), frozenset(), where=WHERE)
    taken = [file.path for file in selection.files] + [refused.path for refused in selection.refused]
    assert sorted(taken) == sorted(paths)


def test_an_index_names_its_shards() -> None:
    index = {"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}}
    assert read_index(json.dumps(index).encode(), WHERE) == {"1.safetensors", "2.safetensors"}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"weight_map": 3}', b'{"weight_map": {}}', b"\xff"])
def test_a_broken_index_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointUnsupported, match=INDEX_FILE):
        read_index(content, WHERE)


@pytest.mark.parametrize("path", ["../model.safetensors", "/model.safetensors", "cafe\u0301.safetensors"])
def test_weights_under_a_path_that_cannot_be_written_are_refused(path: str) -> None:
    with pytest.raises(CheckpointUnsupported, match="which is "):
        select_files(listing("config.json", INDEX_FILE, path), frozenset({path}), where=WHERE)
    assert select_files(listing("config.json", "model.safetensors", path), frozenset(), where=WHERE).files


def test_shards_without_an_index_are_named() -> None:
    files = listing("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointUnsupported, match=r"2 shards \(model-00001-of-00002.* but no") as refusal:
        select_files(files, frozenset(), where=WHERE)
    assert "upload was completed" in refusal.value.fix
