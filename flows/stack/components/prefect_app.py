"""The program of the stack's Prefect server: Prefect's own application, with two things that it has no
setting for.

- Requests to another host than its own are refused. A web page can let its own name lead to 127.0.0.1 and
  so become a page of "the same origin"; what it asks for carries its name in the `Host` header.
- A transaction takes SQLite's write lock at its start. One that reads before it writes fails at once with
  "database is locked" if another one has written in between, whatever the time limit for waiting is
  (SQLITE_BUSY_SNAPSHOT in SQLite's documentation); heartbeats of the worker did, now and then.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from prefect.server.api.server import create_app
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import MODELS_DEPENDENCIES
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, get_current_settings
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction
from starlette.middleware.trustedhost import TrustedHostMiddleware

from flows.stack.system.ports import OWN_NAMES


class LockingSqlite(AioSqliteConfiguration):
    """Prefect's SQLite, where every transaction may write from its start."""

    @asynccontextmanager
    async def begin_transaction(
        self,
        session: AsyncSession,
        with_for_update: bool = False,  # noqa: ARG002  as Prefect calls it
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        """Begin one that waits for others to end."""
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def main() -> None:
    """Serve until a signal comes; everything else is configured by Prefect's variables."""
    server = get_current_settings().server
    MODELS_DEPENDENCIES["database_config"] = LockingSqlite(PREFECT_API_DATABASE_CONNECTION_URL.value())
    app = create_app(final=True)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(OWN_NAMES), www_redirect=False)
    uvicorn.run(
        app,
        host=server.api.host,
        port=server.api.port,
        timeout_keep_alive=server.api.keepalive_timeout,
        ws_ping_interval=server.api.websocket_ping_interval,
        ws_ping_timeout=server.api.websocket_ping_timeout,
        log_level=server.logging_level.lower(),
    )


if __name__ == "__main__":
    main()
