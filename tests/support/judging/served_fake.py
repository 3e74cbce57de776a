"""The stand-in of a completions server as a program of its own: `--host H --port P`, and what is planted.

An idle neighbour that costs something can be planted as well: a server with `--disturbs FILE` writes its
process id there, and one with `--disturbed-by FILE` waits twice as long for each token while that process
runs and is not suspended. With `--needs-alone FILE` it runs out of memory if that process runs. With
`--spins` it keeps a core busy all the time, as a server does that asks again and again whether there is work.

Only timed requests have to wait.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
from pathlib import Path

from aiohttp import web

from support.judging.fake_completions import Behaviour, FakeServer

# Tokens after which it ends a text by itself: before the limit of the tests' protocol.
ENDS_AFTER = 7


class Served(FakeServer):
    """A stand-in that answers health checks, and notices its neighbour."""

    def __init__(self, behaviour: Behaviour, disturbed_by: Path | None) -> None:
        super().__init__(behaviour)
        self._own_wait_s = behaviour.per_token_s
        self._disturbed_by = disturbed_by

    def app(self) -> web.Application:
        app = super().app()
        app.router.add_get("/health", self._health)
        return app

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ready")

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        timed = body.get("stream") and not body.get("return_token_ids")
        disturbed = self._disturbed_by is not None and runs(self._disturbed_by)
        wait_s = self._own_wait_s * (2 if disturbed else 1) if timed else 0.0
        self.behaviour.per_token_s = self.behaviour.first_token_s = wait_s
        return await super()._completions(request)


def runs(pid_file: Path) -> bool:
    """Whether the process that is named in a file runs, and is not suspended."""
    if not pid_file.exists():
        return False
    stat = Path(f"/proc/{pid_file.read_text()}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "T"


def spin() -> None:
    """Keep a core busy."""
    while True:
        pass


async def serve(arguments: argparse.Namespace) -> None:
    behaviour = Behaviour(per_token_s=arguments.per_token_s, stops_after=ENDS_AFTER)
    if arguments.needs_alone is not None and runs(arguments.needs_alone):
        sys.exit("torch.OutOfMemoryError: out of memory")
    if arguments.disturbs is not None:
        arguments.disturbs.write_text(str(os.getpid()))
    if arguments.spins:
        multiprocessing.Process(target=spin, daemon=True).start()
    runner = web.AppRunner(Served(behaviour, arguments.disturbed_by).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, arguments.host, arguments.port).start()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--per-token-s", type=float, default=0.0)
    parser.add_argument("--disturbs", type=Path)
    parser.add_argument("--disturbed-by", type=Path)
    parser.add_argument("--needs-alone", type=Path)
    parser.add_argument("--spins", action="store_true")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
