"""Trees, actions and measurements against a real S3 server."""

from pathlib import Path

from support.trees import random_tree

from artifacts.store import Store
from artifacts.trees import compare, scan


def test_a_tree_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    root = random_tree(
        tmp_path / "tree", {"a/b.bin": 40 << 20, "empty": 0, "run.sh": 10}, executable=("run.sh",)
    )
    listing = store.put_tree(root)
    store.materialize(listing.digest, tmp_path / "copy")
    assert compare(tmp_path / "copy", listing) == ""
    assert scan(tmp_path / "copy") == listing
