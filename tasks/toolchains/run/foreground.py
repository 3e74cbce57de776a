"""Runs a server as the user's own command: its output and its exit code become this process's."""

import json
import math
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from artifacts.hosts import ServeCommand
from tasks.toolchains.launcher import Launch
from tasks.toolchains.records import Toolchain
from tasks.toolchains.run.ports import probe
from tasks.toolchains.run.serve_command import server_command, server_launch, server_scratch
from tasks.toolchains.run.supervised_process import GRACE_S, supervisor_command

PROBE_EVERY_S = 0.2


def run_foreground(
    toolchain: Toolchain,
    serve_command: ServeCommand,
    tree: Path,
    host: str,
    port: int,
    *,
    model: str,
    on_ready: Callable[[], None],
    extra_env: Mapping[str, str] | None = None,
    gpus: Sequence[str] = (),
    keep_fds: Sequence[int] = (),
) -> int:
    """Serve a directory until the server ends or this process is asked to end (SIGINT, SIGTERM, SIGHUP).

    SIGHUP is ignored if it was before, so that a server which `nohup` started outlives the terminal.

    The server answers to the name `model`, if its serve command can set that. `on_ready` is called, from a
    thread, once the server accepts requests. It writes to this process's stdout and stderr. Returns its exit
    code, or 128 + the signal's number as shells do. To be called from the main thread. `gpus` are the UUIDs
    of the GPUs that it computes on. `keep_fds` stay open until the last of its processes has ended (locks).
    """
    tree = tree.absolute()
    ended = threading.Event()

    def announce() -> None:
        while not ended.wait(PROBE_EVERY_S):
            # Waits again: the answer may come from another server, on a port that ours found taken.
            if probe(port, serve_command.ready_path, host) and not ended.wait(PROBE_EVERY_S):
                on_ready()
                return

    with server_scratch(toolchain, serve_command, tree) as scratch:
        command = server_command(toolchain, serve_command, tree, scratch, host, port, model)
        launch = server_launch(
            toolchain, serve_command, tree, scratch, command, extra_env=extra_env or {}, gpus=gpus
        )
        watcher = threading.Thread(target=announce, daemon=True)
        watcher.start()
        try:
            return _supervised(launch, scratch, keep_fds)
        finally:
            ended.set()
            watcher.join()


def _supervised(launch: Launch, directory: Path, keep_fds: Sequence[int]) -> int:
    status_out, status_in = os.pipe()
    process = subprocess.Popen(
        supervisor_command(launch.argv, status_in, GRACE_S, math.inf, launch.end),
        stdin=subprocess.PIPE, env=dict(launch.env), cwd=directory, start_new_session=True,
        pass_fds=(status_in, *keep_fds),
    )  # fmt: skip
    os.close(status_in)
    forwarded = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
        forwarded.append(signal.SIGHUP)
    previous = {
        number: signal.signal(number, lambda number, _: process.send_signal(number)) for number in forwarded
    }
    try:
        process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    with os.fdopen(status_out, encoding="utf-8") as status:
        return _exit_code(status.read().splitlines())


def _exit_code(status: list[str]) -> int:
    # If only the pid was reported, the supervisor was killed, and its command with it.
    ended: dict[str, Any] = json.loads(status[-1]) if len(status) > 1 else {"signal": signal.SIGKILL}
    return 128 + int(ended["signal"]) if ended["signal"] else int(ended["exit_code"])
