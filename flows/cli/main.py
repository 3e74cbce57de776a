"""The command line `enginery`: its commands, and the only place that turns errors into text and exit codes.

Invariants:
- Data goes to stdout, messages and errors to stderr. With `--json`, stdout is one document.
- Commands are registered by import string and imported when they run, so that `enginery --help` loads none.
- A library's error says what is wrong, where, and what to do; here it is only printed. An error without an
  `exit_code` is a defect of this program and reported as such.

Exit codes: 0 done; 1 failed; 2 bad input; 3 rejected, inconclusive or refused by policy; 4 not found or
nothing fits; 5 a service is unreachable; 6 integrity. 130 after Ctrl-C.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import format_exception
from typing import NamedTuple, NoReturn

from cyclopts import (
    App,
    CycloptsError,
    Group,
    MissingArgumentError,
    UnknownCommandError,
    UnusedCliTokensError,
)

from artifacts.errors import EngineryError
from flows.cli.local_requests import bypass_proxies
from tasks.workers.garbage import look_for_garbage_rarely

INTERRUPTED = 130
BAD_INPUT = 2
FAILED = 1
# Errors of writing to stdout and of finding the working directory, which name no file.
ERRORS_WITHOUT_FILE = (errno.ENOSPC, errno.ENOENT)
OWN_PACKAGES = ("flows", "tasks", "artifacts", "engine_specs")


class CommandEntry(NamedTuple):
    """A command, and its line in `enginery --help`."""

    name: str
    target: str
    help: str


COMMANDS = {
    "This machine": (
        CommandEntry("up", "stack:up", "Start the local stack: Prefect server, worker, S3 server."),
        CommandEntry("down", "stack:down", "Stop what `up` started."),
        CommandEntry("status", "stack:status", "Show the status of the local stack."),
        CommandEntry("doctor", "doctor:doctor", "Check this machine, and say how to fix what it lacks."),
        CommandEntry("demo", "demo:demo", "Run the main job end to end on a small model."),
        CommandEntry(
            "toolchain",
            "toolchain:app",
            "The isolated environments of the heavy tools: list, install, adopt, forget.",
        ),
    ),
    "Specs": (
        CommandEntry("specs", "specs:app", "The specs: list, validate, schema."),
        CommandEntry("targets", "targets:app", "The targets that engines are built for: list."),
    ),
    "Building": (
        CommandEntry("plan", "plan:plan", "Show what a build would do, and why: hit or miss for each stage."),
        CommandEntry("build", "build:build", "Build, judge and publish one spec."),
        CommandEntry("nightly", "nightly:nightly", "Build what changed among all specs."),
        CommandEntry("selftest", "selftest:selftest", "Find out how often the judge is wrong."),
        CommandEntry(
            "rehearse", "evidence:rehearse", "Measure what another version of a toolchain would change."
        ),
    ),
    "Releases": (
        CommandEntry("list", "releases:list_releases", "List the releases, or those of one name."),
        CommandEntry("show", "releases:show", "Show one release: its variants, verdicts and reasons."),
        CommandEntry("report", "releases:report", "Fetch the reports of a release."),
        CommandEntry(
            "history",
            "evidence:history",
            "Show verdicts with both sides' speeds, and what changed in between.",
        ),
        CommandEntry(
            "recompute", "evidence:recompute", "Judge a release's evidence again: the same to the digit?"
        ),
    ),
    "Serving hosts": (
        CommandEntry("pull", "hosts:pull", "Install the variant of a release that fits this host."),
        CommandEntry(
            "serve", "hosts:serve", "Serve a pulled directory over the OpenAI completions protocol."
        ),
        CommandEntry(
            "verify", "hosts:verify", "Read every byte of a pulled directory, or of a stored release."
        ),
    ),
}

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 bad input; 3 rejected, inconclusive or refused by policy; 4 not found, "
    "or nothing fits this host; 5 a service is unreachable; 6 integrity; 130 after Ctrl-C."
)
COMPLETION = "--install-completion"
MARKUP = {"help_format": "markdown"}
EPILOGUE = "`--debug` with any command shows the traceback of an error."


def make_app(requested: str = "") -> App:
    """Make the application with all of its commands, none of them imported.

    Args:
        requested: name of the command to run. Its help is its own docstring; that of the others is their line
            in `enginery --help`.
    """
    app = App(
        name="enginery",
        help=f"Compile LLM inference engines when measurement proves that it pays.\n\n{EXIT_CODES}",
        help_epilogue=EPILOGUE,
        help_format="plaintext",  # Markdown costs 50 ms of imports, so only a command's own help uses it
        version=_version,
        version_flags=("--version",),
        help_flags=("--help", "-h"),
        suppress_keyboard_interrupt=False,  # `run` reports it
    )
    app.command(
        "flows.cli.commands.completion:install_completion",
        name=COMPLETION,
        help=None if requested == COMPLETION else "Let the shell complete commands and options.",
        **(MARKUP if requested == COMPLETION else {}),
    )
    for order, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=order)
        for command in commands:
            is_requested = command.name == requested
            # An App sets the format of its own help.
            markup = MARKUP if is_requested and not command.target.endswith(":app") else {}
            line = None if is_requested else command.help
            app.command(
                f"flows.cli.commands.{command.target}", name=command.name, help=line, group=group, **markup
            )
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are printed to stderr."""
    tokens = [argument for argument in arguments if argument != "--debug"]

    def command() -> object:
        app = make_app(requested=next(iter(tokens), ""))
        return app(tokens, exit_on_error=False, print_error=False, result_action="return_value")

    return exit_code_of(command, debug="--debug" in arguments)


def exit_code_of(command: Callable[[], object], *, debug: bool = False) -> int:
    """Run a program's work and return its exit code; errors are printed to stderr."""
    bypass_proxies()
    try:
        result = command()
    except KeyboardInterrupt:
        _say("enginery: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone (`enginery list | head`). Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  the only place that turns errors into text
        if debug:
            _say("".join(format_exception(error)).rstrip())
        code, text = explain(error)
        _say(f"enginery: {text}")
        return code
    return result if isinstance(result, int) else 0


def _say(text: str) -> None:
    from flows.cli.console import say

    say(text)


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the text of an error."""
    if isinstance(error, UnknownCommandError) and not error.command_chain:
        return BAD_INPUT, _unknown_command(error)
    if isinstance(error, CycloptsError):
        chain = " ".join(("enginery", *(error.command_chain or ())))
        return BAD_INPUT, f"{_bad_arguments(error, chain)}\n  fix: {chain} --help"
    if isinstance(error, EngineryError):
        return error.exit_code, str(error)
    if isinstance(error, OSError) and (error.filename is not None or error.errno in ERRORS_WITHOUT_FILE):
        # An error of the file system: our libraries already report those of services as errors of their own.
        from artifacts.disk import disk_error

        explained = disk_error(error, "this command's output, or the directory that it runs in")
        return explained.exit_code, str(explained)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        # Python represents bytes of arguments and variables that are not UTF-8 as surrogates.
        return BAD_INPUT, f"{error.object!r} is not UTF-8\n  fix: correct the argument or the variable"
    if isinstance(error, ValueError):
        from flows.cli.tool_settings import refused_settings

        if refusal := refused_settings(error):
            return BAD_INPUT, refusal
    if _lost_prefect(error) or _lost_prefect(error.__cause__):
        # Our libraries report those of the Hub and the store as errors of their own: it is Prefect's client.
        from flows.stack.components.configured_server import lost_server

        lost = lost_server(error)
        return lost.exit_code, str(lost)
    if package := _missing_package(error):
        from flows.errors import INSTALL_FIX

        return BAD_INPUT, f"this command needs the package {package}\n  fix: {INSTALL_FIX}"
    return FAILED, (
        f"internal error: {type(error).__name__}: {error}\n"
        "  fix: run it again with --debug, and report the traceback"
    )


def _unknown_command(error: UnknownCommandError) -> str:
    """Return the text of the error, whose own text would import every command to find similar names."""
    from difflib import get_close_matches

    names = [command.name for commands in COMMANDS.values() for command in commands]
    found = (error.unused_tokens or ["?"])[0]
    close = get_close_matches(found, names, n=1)
    return f"there is no command {found!r}\n  fix: " + (
        f"enginery {close[0]}" if close else "enginery --help"
    )


def _bad_arguments(error: CycloptsError, command: str) -> str:
    """Return what is wrong with the arguments; the library's own words for two cases confuse newcomers."""
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        option = error.keyword
        return f"{option} needs a value" if option else f"`{command}` needs {error.argument.name}"
    if isinstance(error, UnusedCliTokensError):
        unused = ", ".join(map(repr, error.unused_tokens or ()))
        return f"`{command}` takes no further argument: {unused}"
    return str(error)


def _lost_prefect(error: BaseException | None) -> bool:
    """Whether Prefect's client got no answer, or one for which no request of ours can be the reason.

    The client is not imported to find out.
    """
    httpx = sys.modules.get("httpx")
    if httpx is None or not isinstance(error, httpx.HTTPStatusError):
        return httpx is not None and isinstance(error, httpx.TransportError)
    status: int = error.response.status_code
    return status in {401, 403, 404} or status >= 500


def _missing_package(error: BaseException | None) -> str:
    """Return the name of the missing package that caused an error; empty if none did."""
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__
    name = (error.name or "").partition(".")[0] if error else ""
    return "" if name in OWN_PACKAGES else name


def _version() -> str:
    from importlib.metadata import version

    return f"enginery {version('enginery')}"


def _make_streams_usable() -> None:
    """Make writing work whatever the terminal's encoding is, and even if the caller has closed a stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  as long as we run
        else:
            stream.reconfigure(errors="backslashreplace")


def _end_with_terminal() -> None:
    """Let the end of the terminal end us as SIGTERM does, so that a run in this process reports its end.

    Who starts us with `nohup` wants to outlive the terminal.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda _number, _frame: signal.raise_signal(signal.SIGTERM))


def main() -> NoReturn:
    """Entry point of the program `enginery`."""
    _end_with_terminal()
    look_for_garbage_rarely()
    _make_streams_usable()
    sys.exit(run(sys.argv[1:]))
