"""The Prefect server that we start: Prefect's own application, with two changes that it has no setting for.

- Requests for another host name are refused. A web page can make its own name resolve to 127.0.0.1 and so
  pass as "the same origin" (DNS rebinding); its requests carry that name in the `Host` header.
- A transaction takes SQLite's write lock at its start. A transaction that reads before it writes fails at
  once with "database is locked" if another one has written in between, whatever the time limit for waiting
  is (SQLITE_BUSY_SNAPSHOT in SQLite's documentation); the worker's heartbeats did so now and then.
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
from flows.stack.system.processes import end_with_owner
from tasks.workers.garbage import look_for_garbage_rarely


class LockingSqlite(AioSqliteConfiguration):
    """Prefect's SQLite configuration, with the write lock taken at the start of every transaction."""

    @asynccontextmanager
    async def begin_transaction(
        self,
        session: AsyncSession,
        with_for_update: bool = False,  # noqa: ARG002  as Prefect calls it
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        """Begin a transaction that waits for others to end."""
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def main() -> None:
    """Serve until a signal arrives; Prefect's variables configure everything else."""
    end_with_owner()
    look_for_garbage_rarely()
    server = get_current_settings().server
    database = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if database.startswith("sqlite"):  # the user's own may be a PostgreSQL
        MODELS_DEPENDENCIES["database_config"] = LockingSqlite(database)
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
