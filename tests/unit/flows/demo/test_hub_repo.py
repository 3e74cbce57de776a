"""The demo Hub's identities are git's own, and the demo spec pins them."""

import os
import subprocess
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml
from support.checkpoints.repositories import SHARDS, sharded_model, write_repo

from engine_specs import __file__ as engine_specs_file
from flows.demo.hub_repo import DEMO_HUB, SIGNATURE, Repo, read_hub, read_repo
from flows.demo.hub_server import Refusal, Route, admit, parse_range, parse_route
from tasks.hub.selection import HubFile
from tasks.hub.transfer import content_problem, git_blob_id


def git(folder: Path, *arguments: str, stdin: str = "") -> str:
    name, _, rest = SIGNATURE.partition(" <")
    mail, _, date = rest.partition("> ")
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", name), ("EMAIL", mail), ("DATE", date))
    }
    isolated = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(
        command, input=stdin, env=os.environ | who | isolated, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_commit_and_blob_ids_are_those_that_git_computes(tmp_path: Path) -> None:
    folder = sharded_model(tmp_path / "hub")
    write_repo(folder, {"zeta/inner/deep.txt": "deep\n", "zeta.txt": "aside\n", "zeta-more.txt": ""}, {})
    repo = read_repo("model", folder)
    work = tmp_path / "git"
    work.mkdir()
    git(work, "init", "-q")
    for file in repo.files:
        target = work / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        pointer = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256}\nsize {file.size_bytes}\n"
        )
        target.write_bytes(pointer.encode() if file.sha256 else file.source.read_bytes())
        assert git(work, "hash-object", file.path) == file.blob_id
    git(work, "add", "-A", "-f")
    tree = git(work, "write-tree")
    assert git(work, "commit-tree", tree, stdin="All files\n") == repo.commit


def test_any_other_byte_gives_another_commit(tmp_path: Path) -> None:
    folder = sharded_model(tmp_path)
    before = read_repo("model", folder).commit
    assert read_repo("model", folder).commit == before
    shard = folder / SHARDS[0]
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    assert read_repo("model", folder).commit != before


def test_the_demo_spec_pins_what_the_demo_hub_holds() -> None:
    spec = yaml.safe_load((Path(engine_specs_file).parent / "demo.yaml").read_text())
    hub = read_hub(DEMO_HUB)
    checkpoint, texts = spec["checkpoint"], spec["validation"]["accuracy"]
    assert hub["model", checkpoint["repo"]].commit == checkpoint["revision"]
    assert hub["dataset", texts["dataset"]].commit == texts["revision"]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/models/a/b", Route("info", "model", "a/b", "main")),
        ("/api/models/a/b/revision/refs%2Fpr%2F1", Route("info", "model", "a/b", "refs/pr/1")),
        ("/api/datasets/a/b/tree/main", Route("tree", "dataset", "a/b", "main")),
        ("/a/b/resolve/v1/x/y%20z.json", Route("resolve", "model", "a/b", "v1", "x/y z.json")),
        ("/datasets/a/b/resolve/v1/x.jsonl", Route("resolve", "dataset", "a/b", "v1", "x.jsonl")),
        ("/api/spaces/a/b", None),
    ],
)
def test_routes(path: str, route: Route | None) -> None:
    assert parse_route(path) == route


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("", (0, 10)),
        ("bytes=4-", (4, 10)),
        ("bytes=4-6", (4, 7)),
        ("bytes=0-99", (0, 10)),
        ("bytes=10-", None),
    ],
)
def test_ranges(header: str, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == span


@pytest.mark.parametrize(
    ("mode", "token", "action", "expected"),
    [
        ("public", "", "resolve", None),
        ("gated", "", "info", None),
        ("gated", "", "resolve", (HTTPStatus.UNAUTHORIZED, "GatedRepo")),
        ("gated", "other", "resolve", (HTTPStatus.FORBIDDEN, "GatedRepo")),
        ("gated", "good", "resolve", None),
        ("private", "", "info", (HTTPStatus.UNAUTHORIZED, "RepoNotFound")),
        ("private", "other", "info", (HTTPStatus.NOT_FOUND, "RepoNotFound")),
        ("private", "good", "info", None),
    ],
)
def test_who_may_read(
    tmp_path: Path, mode: str, token: str, action: str, expected: tuple[HTTPStatus, str] | None
) -> None:
    repo = read_repo("model", sharded_model(tmp_path, mode=mode, tokens=["good"]))
    answer = admit(repo, parse_or_fail(action, repo), token)
    found = (answer.status, answer.code) if isinstance(answer, Refusal) else None
    assert found == expected


def parse_or_fail(action: str, repo: Repo) -> Route:
    path = f"/{repo.id}/resolve/main/config.json" if action == "resolve" else f"/api/models/{repo.id}"
    route = parse_route(path)
    assert route is not None
    return route


def test_content_is_checked_by_blob_id_and_by_sha256(tmp_path: Path) -> None:
    folder = sharded_model(tmp_path)
    for file in read_repo("model", folder).files:
        declared = HubFile(
            path=file.path, size_bytes=file.size_bytes, blob_id=file.blob_id, sha256=file.sha256
        )
        assert content_problem(file.source, declared) == ""
        wrong = tmp_path / "wrong"
        wrong.write_bytes(b"\0" * file.size_bytes)
        assert "the Hub declares" in content_problem(wrong, declared)
        wrong.write_bytes(b"")
        assert "has 0 bytes" in content_problem(wrong, declared)


def test_the_id_of_an_empty_blob_is_gits_well_known_one(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert git_blob_id(tmp_path / "empty") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
