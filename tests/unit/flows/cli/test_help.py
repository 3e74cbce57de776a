"""What a newcomer reads: the help of every command, its examples, and completion in the shell."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cyclopts import App
from support.programs.cli import PROGRAM, run_cli, run_here

from flows.cli.main import COMMANDS, COMPLETION, make_app


def paths() -> Iterator[tuple[str, ...]]:
    """Every command that can be typed."""
    yield (COMPLETION,)
    for name in (command.name for commands in COMMANDS.values() for command in commands):
        below = [word for word in make_app(name)[name] if not word.startswith("-")]
        yield from [(name, word) for word in below] or [(name,)]


PATHS = list(paths())


@cache
def shown_help(path: tuple[str, ...]) -> str:
    done = run_here(*path, "--help", env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def docstring(path: tuple[str, ...]) -> str:
    app: App = make_app(path[0])
    for name in path:
        app = app[name]
    assert app.default_command is not None
    return str(app.default_command.__doc__)


def words(text: str) -> list[str]:
    """Its words, without what marks them up."""
    return re.sub(r"[`│╭╮╰╯─]", "", text).split()


def examples(path: tuple[str, ...]) -> list[str]:
    return [line.strip() for line in docstring(path).splitlines() if line.startswith(" " * 8 + "enginery")]


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_says_all_that_the_docstring_says(path: tuple[str, ...]) -> None:
    shown, said = words(shown_help(path)), words(docstring(path))
    starts = [i for i in range(len(shown)) if shown[i : i + len(said)] == said]
    assert starts, f"{' '.join(said)}\nis not in\n{shown_help(path)}"


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_has_exit_codes_and_examples_that_can_be_pasted(path: tuple[str, ...]) -> None:
    shown = shown_help(path)
    assert "Exit codes: " in shown
    assert examples(path)
    for line in examples(path):
        assert line in [each.strip() for each in shown.splitlines()]
        tokens = shlex.split(line.partition(" > ")[0])
        assert tokens[1 : 1 + len(path)] == list(path)
        command, *_ = make_app().parse_args(tokens[1:], exit_on_error=False, print_error=False)
        assert command.__doc__ == docstring(path)


def test_the_first_help_names_the_exit_codes_and_completion() -> None:
    shown = run_cli("--help", env={"COLUMNS": "200"}).stdout
    assert "Exit codes: 0 done; 1 failed; 2 bad input;" in shown
    assert COMPLETION in shown


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_is_installed_into_the_home_directory(tmp_path: Path, shell: str) -> None:
    done = run_here(COMPLETION, "--shell", shell, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    script = Path(done.stdout.strip())
    assert script.is_relative_to(tmp_path)
    text = script.read_text()
    assert [c.name for group in COMMANDS.values() for c in group if c.name not in text] == []
    if shell == "zsh":
        assert text.startswith("#compdef enginery\n")
        assert "compinit" in done.stderr, "nothing loads it in this home yet"
    loads = str(script) if shell == "bash" else str(script.parent)
    assert loads in (tmp_path / f".{shell}rc").read_text()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["enginery", "pu"], ["pull"]),
        (["enginery", "specs", ""], ["list", "schema", "validate"]),
        (["enginery", "pull", "--va"], ["--variant"]),
    ],
)
def test_a_new_bash_offers_commands_and_options(tmp_path: Path, typed: list[str], offered: list[str]) -> None:
    assert run_here(COMPLETION, "--shell", "bash", env={"HOME": str(tmp_path)}).returncode == 0
    ask = f"COMP_WORDS=({shlex.join(typed)}); COMP_CWORD={len(typed) - 1}; _enginery; "
    done = subprocess.run(
        ["bash", "--rcfile", str(tmp_path / ".bashrc"), "-ic", ask + 'printf "%s\\n" "${COMPREPLY[@]}"'],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, start_new_session=True,
    )  # fmt: skip
    assert sorted(done.stdout.split()) == offered, done.stderr


def test_completion_cannot_be_installed_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / ".local").write_text("a file")
    done = run_here(COMPLETION, "--shell", "bash", env={"HOME": str(tmp_path)})
    assert done.returncode == 2
    assert str(tmp_path / ".local") in done.stderr
    assert "internal error" not in done.stderr


def test_a_shell_that_is_not_known_is_reported(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, COMPLETION, "--shell", "tcsh"],
        env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "bash" in done.stderr
