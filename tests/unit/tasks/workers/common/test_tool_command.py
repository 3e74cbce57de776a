"""What a worker fills in for the tool that it runs."""

from pathlib import Path

from tasks.workers.common.tool_command import fill


def test_a_file_that_names_the_tree_is_copied_with_its_directory(tmp_path: Path) -> None:
    tree, scratch = tmp_path / "tree", tmp_path / "scratch"
    (tree / "settings").mkdir(parents=True)
    (tree / "settings" / "args.yaml").write_text('draft: "{tree}/draft"\n')
    fill(tree, ["settings/args.yaml"], scratch)
    assert (scratch / "settings" / "args.yaml").read_text() == f'draft: "{tree}/draft"\n'
    assert (tree / "settings" / "args.yaml").read_text() == 'draft: "{tree}/draft"\n'
