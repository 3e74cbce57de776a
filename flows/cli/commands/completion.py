"""`enginery --install-completion`: completion of commands and options in the user's shell."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from flows.cli.console import emit, say
from flows.errors import BadArgument

Shell = Literal["bash", "zsh", "fish"]


def install_completion(
    *,
    shell: Annotated[
        Shell | None, Parameter(help="The shell; default: the one that runs this command.")
    ] = None,
) -> None:
    """Let the shell complete commands and options; print the path of the installed script.

    Writes a script to your home directory, and a line that loads it to `~/.bashrc` or `~/.zshrc` (fish needs
    none). It takes effect in the next shell that you start.

    Exit codes: 0 done; 1 the file cannot be written; 2 the shell is not supported.

    For example:

        enginery --install-completion
        enginery --install-completion --shell zsh
    """
    from flows.cli.main import make_app

    chosen = shell or _running_shell()
    emit(str(make_app().install_completion(shell=chosen)))
    say(f"start a new {chosen}, and press Tab after `enginery `")
    if chosen == "zsh" and "compinit" not in _zshrc():
        say("~/.zshrc does not load zsh's completions yet; append to it: autoload -Uz compinit && compinit")


def _running_shell() -> Shell:
    from cyclopts.completion import detect_shell
    from cyclopts.completion.detect import ShellDetectionError

    try:
        found = detect_shell()
    except ShellDetectionError:
        found = "powershell"
    if found == "powershell":
        raise BadArgument(
            "this command does not run in a supported shell", fix="name one: --shell bash, zsh or fish"
        )
    return found


def _zshrc() -> str:
    path = Path.home() / ".zshrc"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
