"""The command line `enginery`: what commands there are, and the one place where errors become text and exit
codes.

Invariants:
- Data goes to stdout, narration and errors to stderr. With `--json`, stdout is one document.
- Commands are registered by import string and imported when they run, so that `enginery --help` loads none.
- A library's error says what is wrong, where, and what to do; here it is only printed. Whatever carries no
  `exit_code` is a defect of ours and says so.

Exit codes: 0 done; 1 failed; 2 bad input; 3 rejected, inconclusive or refused by policy; 4 not found or
nothing fits; 5 a service is unreachable; 6 integrity. 130 after Ctrl-C.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import format_exception
from typing import NamedTuple, NoReturn

from cyclopts import App, CycloptsError, Group, UnknownCommandError

from artifacts.errors import EngineryError

INTERRUPTED = 130
BAD_INPUT = 2
FAILED = 1
# What writing to stdout and asking for the working directory end in: errors that name no file.
OF_NO_FILE = (errno.ENOSPC, errno.ENOENT)
OWN_PACKAGES = ("flows", "tasks", "artifacts", "engine_specs")


class Listed(NamedTuple):
    """One line of `enginery --help`."""

    name: str
    where: str
    help: str


COMMANDS = {
    "This machine": (
        Listed("up", "stack:up", "Start the local stack: Prefect server, worker, S3 server."),
        Listed("down", "stack:down", "Stop what `up` started."),
        Listed("status", "stack:status", "How the local stack is."),
        Listed("doctor", "doctor:doctor", "Check this machine, and name the remedy for what it lacks."),
        Listed("demo", "demo:demo", "Run the main job end to end on a small model."),
        Listed("toolchain", "toolchain:app", "The isolated environments of the heavy tools: list, install."),
    ),
    "Specs": (
        Listed("specs", "specs:app", "The specs: list, validate, schema."),
        Listed("targets", "targets:app", "The targets that engines are built for: list."),
    ),
    "Building": (
        Listed("plan", "plan:plan", "What a build would do, and why: hit or miss for each stage."),
        Listed("build", "build:build", "Build, judge and publish one spec."),
        Listed("nightly", "nightly:nightly", "Build what changed among all specs."),
    ),
    "Releases": (
        Listed("list", "releases:list_releases", "The releases, or those of one name."),
        Listed("show", "releases:show", "One release: its variants, verdicts and reasons."),
        Listed("report", "releases:report", "Fetch the report of a release."),
        Listed("history", "releases:history", "The moves of a name's channels."),
    ),
    "Serving hosts": (
        Listed("pull", "hosts:pull", "Install the variant of a release that fits this host."),
        Listed("serve", "hosts:serve", "Serve a pulled directory over the OpenAI completions protocol."),
        Listed("verify", "hosts:verify", "Read every byte of a pulled directory, or of a stored release."),
    ),
}

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 bad input; 3 rejected, inconclusive or refused by policy; 4 not found, "
    "or nothing fits this host; 5 a service is unreachable; 6 integrity; 130 after Ctrl-C."
)
COMPLETION = "--install-completion"
MARKUP = {"help_format": "markdown"}
EPILOGUE = "`--debug` with any command shows the traceback of an error."


def make_app(asked: str = "") -> App:
    """The application with all of its commands, none of them imported.

    Args:
        asked: name of the command that is asked for: it is helped by its own docstring, the others by the
            lines that stand for them in `enginery --help`.
    """
    app = App(
        name="enginery",
        help=f"Compile LLM inference engines when measurement proves that it pays.\n\n{EXIT_CODES}",
        help_epilogue=EPILOGUE,
        help_format="plaintext",  # Markdown costs 50 ms of imports: a command's own help alone is in it
        version=_version,
        version_flags=("--version",),
        help_flags=("--help", "-h"),
        suppress_keyboard_interrupt=False,  # `run` says that there was one
    )
    app.command(
        "flows.cli.commands.completion:install_completion",
        name=COMPLETION,
        help=None if asked == COMPLETION else "Let the shell complete commands and options.",
        **(MARKUP if asked == COMPLETION else {}),
    )
    for order, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=order)
        for command in commands:
            own = command.name == asked
            # An App says by itself in which format its help is.
            markup = MARKUP if own and not command.where.endswith(":app") else {}
            line = None if own else command.help
            app.command(
                f"flows.cli.commands.{command.where}", name=command.name, help=line, group=group, **markup
            )
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are printed to stderr."""
    tokens = [argument for argument in arguments if argument != "--debug"]

    def command() -> object:
        app = make_app(asked=next(iter(tokens), ""))
        return app(tokens, exit_on_error=False, print_error=False, result_action="return_value")

    return exit_code_of(command, debug="--debug" in arguments)


def exit_code_of(command: Callable[[], object], *, debug: bool = False) -> int:
    """Run what a program does and return its exit code; errors are printed to stderr."""
    try:
        result = command()
    except KeyboardInterrupt:
        print("enginery: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`enginery list | head`). Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  the one place where every error ends
        if debug:
            print("".join(format_exception(error)), file=sys.stderr, end="")
        code, text = explain(error)
        print(f"enginery: {text}", file=sys.stderr)
        return code
    return result if isinstance(result, int) else 0


def explain(error: Exception) -> tuple[int, str]:
    """Exit code and text of an error."""
    if isinstance(error, UnknownCommandError) and not error.command_chain:
        return BAD_INPUT, _unknown_command(error)
    if isinstance(error, CycloptsError):
        chain = " ".join(("enginery", *(error.command_chain or ())))
        return BAD_INPUT, f"{error}\n  fix: {chain} --help"
    if isinstance(error, EngineryError):
        return error.exit_code, str(error)
    if isinstance(error, OSError) and (error.filename is not None or error.errno in OF_NO_FILE):
        # Of the file system, so not of a service, which libraries name themselves.
        from artifacts.disk import disk_error

        told = disk_error(error, "this command's output, or the directory that it runs in")
        return told.exit_code, str(told)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        # How Python passes on bytes of arguments and variables that are not UTF-8.
        return BAD_INPUT, f"{error.object!r} is not UTF-8\n  fix: correct the argument or the variable"
    if isinstance(error, ValueError):
        from flows.cli.tool_settings import refused_settings

        if refusal := refused_settings(error):
            return BAD_INPUT, refusal
    if package := _missing_package(error):
        from flows.errors import INSTALL_FIX

        return BAD_INPUT, f"this command needs the package {package}\n  fix: {INSTALL_FIX}"
    return FAILED, (
        f"internal error: {type(error).__name__}: {error}\n"
        "  fix: run it again with --debug for the traceback, and report that"
    )


def _unknown_command(error: UnknownCommandError) -> str:
    """Made here: the error's own text would import every command to find similar ones."""
    from difflib import get_close_matches

    names = [command.name for commands in COMMANDS.values() for command in commands]
    found = (error.unused_tokens or ["?"])[0]
    close = get_close_matches(found, names, n=1)
    return f"there is no command {found!r}\n  fix: " + (
        f"enginery {close[0]}" if close else "enginery --help"
    )


def _missing_package(error: BaseException | None) -> str:
    """Name of the package whose absence is behind an error; empty where that is not the reason."""
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__
    name = (error.name or "").partition(".")[0] if error else ""
    return "" if name in OWN_PACKAGES else name


def _version() -> str:
    from importlib.metadata import version

    return f"enginery {version('enginery')}"


def _make_streams_usable() -> None:
    """Let text be written whatever the terminal's encoding, and to a stream that the caller has closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  as long as we run
        else:
            stream.reconfigure(errors="backslashreplace")


def main() -> NoReturn:
    """Entry point of the program `enginery`."""
    _make_streams_usable()
    sys.exit(run(sys.argv[1:]))
