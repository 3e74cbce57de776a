"""What a serve command becomes on a host, and what of the tree its server may write to."""

import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from artifacts.hosts import ServeCommand
from tasks.toolchains.records import Toolchain
from tasks.toolchains.run.serve_command import server_command, server_environment, server_scratch

SCRATCH = Path("/scratch")
RECIPE = ServeCommand(
    toolchain="t",
    argv=("{bin}/serve", "{tree}", "--port", "{port}", "--name", "{model}"),
    env={"WEIGHTS": "{tree}/weights", "CACHE": "{scratch}/tuned/cache.json"},
    rewrites=("tuned/cache.json",),
    model="model",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "tuned").mkdir(parents=True)
    (tree / "tuned" / "cache.json").write_text("measured")
    (tree / "tuned" / "cache.json").chmod(0o444)
    return tree


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    python = tmp_path / "bin" / "python"
    return Toolchain(
        name="t", root=tmp_path, python=python, bin_dir=python.parent, identity="0" * 64, versions={}
    )


def test_a_server_rewrites_a_copy_and_never_the_tree(tree: Path, toolchain: Toolchain) -> None:
    with server_scratch(toolchain, RECIPE, tree) as scratch:
        env = server_environment(toolchain, RECIPE, tree, scratch, {})
        cache = Path(env["CACHE"])
        assert cache.read_text() == "measured"
        cache.write_text("measured again")
        assert env["WEIGHTS"] == f"{tree}/weights"
    assert (tree / "tuned" / "cache.json").read_text() == "measured"
    assert not cache.exists()


def test_the_command_names_the_tree_itself(tree: Path, toolchain: Toolchain) -> None:
    command = server_command(toolchain, RECIPE, tree, SCRATCH, "127.0.0.1", 8000, "demo")
    assert command == [f"{toolchain.bin_dir}/serve", str(tree), "--port", "8000", "--name", "demo"]
    assert RECIPE.served_model("demo") == "demo"


def test_a_command_that_takes_no_name_still_serves_under_its_own(tree: Path, toolchain: Toolchain) -> None:
    older = RECIPE.model_copy(update={"argv": ("{bin}/serve", "{tree}", "--port", "{port}")})
    command = server_command(toolchain, older, tree, SCRATCH, "127.0.0.1", 8000, "demo")
    assert command == [f"{toolchain.bin_dir}/serve", str(tree), "--port", "8000"]
    assert older.served_model("demo") == older.model == "model"


def test_a_file_that_names_the_tree_is_filled_in_next_to_the_server(tree: Path, toolchain: Toolchain) -> None:
    (tree / "args.yaml").write_text('draft: "{tree}/draft"\nother: "{model}"\n')
    named = RECIPE.model_copy(update={"argv": ("serve", "{scratch}/args.yaml"), "fills": ("args.yaml",)})
    expected = f'draft: "{tree}/draft"\nother: "{{model}}"\n'
    with server_scratch(toolchain, named, tree) as scratch:
        command = server_command(toolchain, named, tree, scratch, "127.0.0.1", 8000, "demo")
        assert command == ["serve", f"{scratch}/args.yaml"]
        assert (scratch / "args.yaml").read_text() == expected
        (scratch / "args.yaml").unlink()
        # As a reader of a release would do it by hand.
        *_, by_hand = named.copies(tree=str(tree), scratch=str(scratch))
        subprocess.run(by_hand, check=True)
        assert (scratch / "args.yaml").read_text() == expected
    assert "{tree}" in (tree / "args.yaml").read_text()
    assert "fills" not in RECIPE.model_dump(mode="json")


def test_a_tree_without_the_named_file_is_not_served(tree: Path, toolchain: Toolchain) -> None:
    (tree / "tuned" / "cache.json").unlink()
    with pytest.raises(FileNotFoundError), server_scratch(toolchain, RECIPE, tree):
        pass


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../b"])
def test_only_files_of_the_tree_can_be_named(path: str) -> None:
    with pytest.raises(ValidationError, match="path"):
        ServeCommand(toolchain="t", argv=(), model="m", rewrites=(path,))
