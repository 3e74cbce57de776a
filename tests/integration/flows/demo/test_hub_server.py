"""The demo's Hub as a program of its own."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from huggingface_hub import HfApi
from support.checkpoints.repositories import SHARDS, sharded_model


def test_it_says_where_it_listens_and_serves_listing_and_ranges(tmp_path: Path) -> None:
    source = sharded_model(tmp_path)
    command = [sys.executable, "-m", "flows.demo.hub_server", "--root", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("serving 1 repositories at http://127.0.0.1:")
            url = said.split()[-1]
            with urllib.request.urlopen(f"{url}/health") as answer:
                assert json.load(answer) == {"repositories": 1}
            listed = {entry.path for entry in HfApi(endpoint=url).list_repo_tree("acme/tiny", recursive=True)}
            assert listed == {p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()}
            asked = urllib.request.Request(f"{url}/acme/tiny/resolve/main/{SHARDS[0]}")
            asked.add_header("Range", "bytes=100-199")
            with urllib.request.urlopen(asked) as answer:
                assert answer.status == 206
                assert answer.read() == (source / SHARDS[0]).read_bytes()[100:200]
        finally:
            process.terminate()
