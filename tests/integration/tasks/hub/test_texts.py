"""Texts from datasets on the Hub and from local files."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from support.checkpoints.repositories import sharded_model, write_repo
from support.servers.hub_faults import Fault, FaultyHub

from engine_specs.spec import TextSource
from tasks.errors import RevisionNotPinned, TextsInvalid
from tasks.hub import TEXTS_FILE, HubAccess, Repository, TextsReport, locate, parse_texts
from tasks.hub.chats import fetch_chats
from tasks.hub.rows import HubTexts
from tasks.hub.texts import Text, fetch_texts

StartHub = Callable[..., FaultyHub]
AccessTo = Callable[..., HubAccess]


def texts_in(tree: Path) -> tuple[Text, ...]:
    return parse_texts((tree / TEXTS_FILE).read_bytes())


def quiet(_line: str) -> None:
    pass


def rows(count: int, **more: object) -> str:
    return "".join(json.dumps({"id": f"r{i}", "text": f"text {i}"} | more) + "\n" for i in range(count))


def hub_source(hub: FaultyHub, **changes: Any) -> TextSource:
    given = {
        "dataset": "acme/texts",
        "revision": hub.repos["dataset", "acme/texts"].commit,
        "split": "train",
        "samples": 5,
    }
    return TextSource.model_validate(given | changes)


def dataset(hub_root: Path, **files: str | bytes) -> None:
    named = {name.replace("__", "/").replace("_", "."): content for name, content in files.items()}
    write_repo(hub_root / "datasets" / "acme" / "texts", dict(named), {})


def test_texts_of_a_dataset_are_chosen_by_seed_and_written_with_their_report(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    dataset(hub_root, train_jsonl=rows(40), heldout_jsonl=rows(40, text="other"))
    hub = start_hub()
    access = access_to(hub)
    reports = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        source = hub_source(hub, seed=seed)
        location = locate(source, base_dir=tmp_path, access=access)
        reports[name] = fetch_texts(source, location, tmp_path / name, access=access, say=quiet)
    assert (tmp_path / "a/texts.jsonl").read_bytes() == (tmp_path / "b/texts.jsonl").read_bytes()
    assert reports["a"] == reports["b"]
    assert reports["a"].sample_digest != reports["c"].sample_digest
    assert reports["a"].rows == 40
    texts = texts_in(tmp_path / "a")
    assert tuple(text.id for text in texts) == reports["a"].sample_ids
    assert all(text.text == text.id.replace("r", "text ") for text in texts)
    assert reports["a"].identity == {"dataset": "acme/texts", "commit": hub_source(hub).revision}


def test_shards_of_a_split_are_read_together(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    lines = rows(6).splitlines(keepends=True)
    folder = hub_root / "datasets" / "acme" / "texts"
    shards = {f"data/train-0000{i}-of-00002.jsonl": "".join(lines[i::2]) for i in range(2)}
    write_repo(folder, {**shards, "data/training.jsonl": rows(9)}, {})
    hub = start_hub()
    source = hub_source(hub, samples=6)
    location = locate(source, base_dir=tmp_path, access=access_to(hub))
    report = fetch_texts(source, location, tmp_path / "dest", access=access_to(hub), say=quiet)
    assert report.files == tuple(sorted(shards))
    assert sorted(report.sample_ids) == [f"r{i}" for i in range(6)]


def test_a_local_file_is_known_by_its_content(tmp_path: Path) -> None:
    access = HubAccess(endpoint="http://127.0.0.1:1", cache_dir=tmp_path / "cache")
    identities = []
    for name, count in (("one", 8), ("two", 8), ("three", 9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.jsonl").write_text(rows(count))
        source = TextSource.model_validate({"path": "own.jsonl", "samples": 3})
        location = locate(source, base_dir=tmp_path / name, access=access)
        identities.append(location.identity)
        report = fetch_texts(source, location, tmp_path / name / "dest", access=access, say=quiet)
        assert report.rows == count
    assert identities[0] == identities[1] != identities[2]


def test_a_tracked_dataset_is_resolved_and_an_untracked_branch_refused(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    dataset(hub_root, train_jsonl=rows(9))
    hub = start_hub()
    location = locate(hub_source(hub, revision="main", track=True), base_dir=tmp_path, access=access_to(hub))
    assert isinstance(location, HubTexts)
    assert location.commit == hub_source(hub).revision
    with pytest.raises(RevisionNotPinned):
        locate(hub_source(hub, revision="main"), base_dir=tmp_path, access=access_to(hub))


@pytest.mark.parametrize(
    ("files", "changes", "what"),
    [
        ({"train_parquet": b"PAR1"}, {}, r"Parquet file cannot be read after row 0"),
        ({"train_csv": b"a,b"}, {}, r"has only these files: train\.csv"),
        ({"train_jsonl": rows(9)}, {"split": "validation"}, "no split 'validation'; it has train"),
        ({"train_jsonl": rows(4)}, {}, "5 texts are needed, but there are only 4"),
        ({"train_jsonl": rows(9)}, {"text_field": "body"}, "no text in field 'body'; it has: id, text"),
        ({"train_jsonl": rows(9, text="")}, {}, "only 0; rows left out, no text: 9 "),
        ({"train_jsonl": rows(4) + rows(3, text="a")}, {}, "only 4; rows left out, a single token: 3 "),
        ({"train_jsonl": rows(5) + "{broken\n"}, {}, "this line is not JSON"),
    ],
)
def test_texts_that_cannot_be_used_are_refused(
    hub_root: Path,
    start_hub: StartHub,
    access_to: AccessTo,
    tmp_path: Path,
    files: dict[str, str | bytes],
    changes: dict[str, str],
    what: str,
) -> None:
    dataset(hub_root, **files)
    hub = start_hub()
    source = hub_source(hub, **changes)
    location = locate(source, base_dir=tmp_path, access=access_to(hub))
    with pytest.raises(TextsInvalid, match=what) as refusal:
        fetch_texts(source, location, tmp_path / "dest", access=access_to(hub), say=quiet)
    assert refusal.value.where
    assert refusal.value.fix
    assert not (tmp_path / "dest").exists()


def read_split(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path, **changes: Any
) -> tuple[TextsReport, list[str]]:
    """Read the split of the dataset; return its report, and what was said."""
    hub = start_hub()
    source, said = hub_source(hub, **changes), []
    location = locate(source, base_dir=tmp_path, access=access_to(hub))
    report = fetch_texts(source, location, tmp_path / "dest", access=access_to(hub), say=said.append)
    return report, said


def test_a_split_of_parquet_files_has_the_same_texts_as_one_of_lines(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    made = [json.loads(line) for line in rows(40).splitlines()]
    shards = {}
    for number in range(2):
        sink = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(made[number::2]), sink)
        shards[f"main/train-{number:05}-of-00002.parquet"] = sink.getvalue()
    write_repo(hub_root / "datasets" / "acme" / "texts", {**shards, "lines.jsonl": rows(40)}, {})
    report, said = read_split(hub_root, start_hub, access_to, tmp_path, split="main/train", seed=4)
    assert report.files == tuple(sorted(shards))
    assert (report.rows, report.left_out, said) == (40, {}, [])
    ids = report.sample_ids
    texts = texts_in(tmp_path / "dest")
    (tmp_path / "dest").rename(tmp_path / "parquet")
    report, _ = read_split(hub_root, start_hub, access_to, tmp_path, split="lines", seed=4)
    assert report.sample_ids == ids
    assert texts_in(tmp_path / "dest") == texts


def test_rows_without_usable_text_are_left_out_counted_and_reported(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    bad = rows(3, text=" ") + rows(2, text=None) + rows(1, text="x") + '{"id": "s", "text": "a\\ud800"}\n'
    dataset(hub_root, train_jsonl=bad + rows(8))
    report, said = read_split(hub_root, start_hub, access_to, tmp_path, samples=9)
    assert (report.rows, report.left_out, report.replaced) == (9, {"no text": 5, "a single token": 1}, 1)
    assert sum("rows left out" in line for line in said) == 2
    assert any("first is train.jsonl:1: this row has no text" in line for line in said)
    written = TextsReport.model_validate_json((tmp_path / "dest" / "texts_report.json").read_bytes())
    assert written == report
    assert "a\ufffd" in {text.text for text in texts_in(tmp_path / "dest")}


@pytest.mark.parametrize("samples", [3, 8])
def test_rows_whose_id_is_null_or_shared_are_known_by_their_place(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path, samples: int
) -> None:
    dataset(hub_root, train_jsonl=rows(2) + rows(3, id="same") + rows(2, id=None) + rows(1))
    report, _ = read_split(hub_root, start_hub, access_to, tmp_path, samples=samples)
    places = [f"train.jsonl:{number}" for number in (1, 3, 4, 5, 6, 7, 8)]
    ranked = sorted([*places, "r1"], key=lambda name: hashlib.sha256(f"0:{name}".encode()).hexdigest())
    assert report.sample_ids == tuple(ranked[:samples])


def test_conversations_become_texts_by_the_template_of_the_checkpoint(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    talk = [{"role": "user", "content": "Hi"}]
    lines = [{"messages": talk}, {"messages": "no"}, {"text": "none"}, {"messages": [*talk, *talk]}]
    dataset(hub_root, train_jsonl="".join(json.dumps(line) + "\n" for line in lines))
    source_files = sharded_model(hub_root)
    (source_files / "chat_template.jinja").write_text(
        "{% for one in messages %}[{{ one.content }}]{% endfor %}"
    )
    hub = start_hub()
    access, model = access_to(hub), Repository(kind="model", id="acme/tiny")
    commit = hub.repos["model", "acme/tiny"].commit
    chats = fetch_chats(model, commit, tmp_path / "template", access, quiet)
    assert hub.count("GET", "*.safetensors") == 0
    source = hub_source(hub, text_field="messages", samples=2)
    location = locate(source, base_dir=tmp_path, access=access)
    report = fetch_texts(source, location, tmp_path / "dest", access=access, say=quiet, chats=chats)
    assert {text.text for text in texts_in(tmp_path / "dest")} == {"[Hi]", "[Hi][Hi]"}
    assert report.left_out == {"no conversation that the chat template takes": 1, "no text": 1}


def test_a_local_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = TextSource.model_validate({"path": "own.jsonl", "samples": 3})
    access = HubAccess(endpoint="http://127.0.0.1:1", cache_dir=tmp_path)
    with pytest.raises(TextsInvalid, match=r"no file own\.jsonl"):
        locate(source, base_dir=tmp_path, access=access)


def test_a_damaged_dataset_file_is_noticed(
    hub_root: Path, start_hub: StartHub, access_to: AccessTo, tmp_path: Path
) -> None:
    dataset(hub_root, train_jsonl=rows(9))
    hub = start_hub(Fault("flip", "*/train.jsonl", times=1))
    said: list[str] = []
    source = hub_source(hub)
    location = locate(source, base_dir=tmp_path, access=access_to(hub))
    fetch_texts(source, location, tmp_path / "dest", access=access_to(hub), say=said.append)
    assert any("git blob id" in line for line in said)
