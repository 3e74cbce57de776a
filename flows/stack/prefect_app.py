"""The program of the stack's Prefect server: Prefect's own application, for requests to its own address only.

A web page can let its own name lead to 127.0.0.1 and so become a page of "the same origin". What such a page
asks for carries its name in the `Host` header; Prefect has no setting that looks there.
"""

from flows.stack.ports import OWN_NAMES


def main() -> None:
    """Serve until a signal comes; everything else is configured by Prefect's variables."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    server = get_current_settings().server
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
