"""Starts the server that will serve the engine, waits until it answers a request, and ends it again.

Standard library only. TensorRT-LLM tunes its kernels and saves what it measured while a server starts, before
it listens; the request then shows that the parts of the tree fit together.
"""

import os
from collections.abc import Mapping

from tasks.workers.common.io import say
from tasks.workers.common.tool_command import ToolCommand
from tasks.workers.common.trial_server import TrialServer, free_port, require_answer
from tasks.workers.trtllm_torch.request import WarmUp


def warm_up(command: ToolCommand, asked: WarmUp, places: Mapping[str, str]) -> float:
    """Serve once; returns the seconds until the server was ready.

    Args:
        command: starts the server.
        asked: how to query it.
        places: values of the placeholders, except {port} and those that `ToolCommand.filled` knows.

    Raises:
        Refusal: there is no such program, memory ran out, or it did not answer with a completion.
        SystemExit: it ended in another way; the runner explains what its messages mean.
    """
    port = free_port()
    filled = command.filled({**places, "port": str(port)})
    with TrialServer(filled.argv, os.environ | filled.env, places["scratch"]) as server:
        ready_s = server.await_ready(port, asked.ready_path)
        say(f"ready after {ready_s:.1f} s")
        require_answer(port, asked.model)
    return ready_s
