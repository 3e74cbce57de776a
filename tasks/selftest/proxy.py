"""A server in front of a completions server, which alters requests and streams as planted.

Invariants:
- Without an alteration, and for everything but completions, it passes on what it gets, byte for byte but for
  white space in JSON.
- It listens on 127.0.0.1 only, and ends with its context.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector, web

from artifacts.ports import HOST
from tasks.selftest.alterations import UNALTERED, Alteration, Json, asks_for_text

COMPLETIONS, DONE = "/v1/completions", "[DONE]"
READY_LIMIT_S = 10.0


class Proxy:
    """Passes requests on to `target`, an address such as `http://127.0.0.1:8000`."""

    def __init__(self, target: str) -> None:
        self.base_url = ""
        self._target = target
        self._alteration: Alteration = UNALTERED
        self._spared = self._streams = 0

    def plant(self, alteration: Alteration, *, spared: int = 0) -> None:
        """Alter from now on, but for the first `spared` streams that ask for text alone."""
        self._alteration, self._spared, self._streams = alteration, spared, 0

    def app(self) -> web.Application:
        """Return the server's application."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post(COMPLETIONS, self._complete)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        app.cleanup_ctx.append(self._session_of)
        return app

    async def _session_of(self, _app: web.Application) -> AsyncIterator[None]:
        timeout = ClientTimeout(total=None)
        # A new connection per request: the server may close idle ones at any time.
        connector = TCPConnector(force_close=True, limit=0)
        async with ClientSession(connector=connector, timeout=timeout, trust_env=False) as self._session:
            yield

    async def _pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._session.request(
            request.method, f"{self._target}{request.path_qs}", data=body
        ) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked: Json = await request.json()
        alteration = self._alteration_of(asked)
        async with self._session.post(
            f"{self._target}{COMPLETIONS}", json=alteration.ask(dict(asked))
        ) as answer:
            if answer.status != 200 or not asked.get("stream"):
                body = await answer.read()
                return web.Response(status=answer.status, body=body, content_type=answer.content_type)
            return await self._stream(request, asked, alteration, answer)

    def _alteration_of(self, asked: Json) -> Alteration:
        """Return what is done to a request: nothing, as long as streams are spared."""
        if asked.get("stream") and asks_for_text(asked):
            self._streams += 1
        return self._alteration if self._streams > self._spared or not self._spared else UNALTERED

    async def _stream(
        self, request: web.Request, asked: Json, alteration: Alteration, answer: ClientResponse
    ) -> web.StreamResponse:
        altered = alteration if alteration.applies(asked) else UNALTERED
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with suppress(ConnectionError):  # the client has seen enough
            async for piece in altered.stream(asked, _events(answer)):
                await response.write("".join(_event(json.dumps(one)) for one in piece).encode())
            await response.write(_event(DONE).encode())
            await response.write_eof()
        return response


async def _events(answer: ClientResponse) -> AsyncIterator[Any]:
    async for line in answer.content:
        payload = line.removeprefix(b"data:").strip()
        if payload and payload != DONE.encode():
            yield json.loads(payload)


def _event(payload: str) -> str:
    return f"data: {payload}\n\n"


@contextmanager
def proxy_before(target: str) -> Iterator[Proxy]:
    """Run a proxy before a server for the time of the context, in a thread of its own."""
    proxy, loop = Proxy(target), asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(proxy.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        host, port = runner.addresses[0][:2]
        proxy.base_url = f"http://{host}:{port}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="proxy", daemon=True)
    thread.start()
    if not ready.wait(READY_LIMIT_S):
        raise TimeoutError(f"the proxy before {target} did not start within {READY_LIMIT_S:g} s")
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
