"""The Prefect server that Prefect's own settings name: by variables, a profile or a file.

Promises: it is asked as a flow will ask it, with Prefect's own client and thus its credentials, proxies and
certificates; that it cannot be reached is known within seconds.
"""

import os
from http import HTTPStatus
from typing import TYPE_CHECKING

from artifacts.settings import address_problems, require_usable_network
from flows.errors import PrefectUnreachable
from flows.stack.components.prefect_api import API_URL

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

# Prefect's client tries four times to connect, and once to get an answer if it is not to repeat requests.
CONNECT_LIMIT_S = 2.0
ANSWER_LIMIT_S = 10.0
REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
ACCESS_FIX = (
    "set PREFECT_API_AUTH_STRING; for the local stack, unset PREFECT_API_URL, or run"
    ' eval "$(enginery status --env)"'
)
ADDRESS_FIX = "write it as a whole address, such as http://127.0.0.1:4200/api"


def configured_url() -> str:
    """Return the address of the configured server; empty if none is, and each flow starts one of its own."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url or ""


def require_answer() -> None:
    """Check that the configured server answers, and lets this client in.

    Raises:
        PrefectUnreachable: it does not.
        artifacts.errors.SettingsInvalid: Prefect's client would refuse a proxy or certificates.
    """
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    url = configured_url()
    if problems := address_problems(url):
        what = f"the address of the Prefect server {problems[0]}"
        raise PrefectUnreachable(what, where=_where(url), fix=ADDRESS_FIX)
    require_usable_network()
    limits_s = (CONNECT_LIMIT_S, ANSWER_LIMIT_S, ANSWER_LIMIT_S, ANSWER_LIMIT_S)
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        try:
            with get_client(sync_client=True, httpx_settings={"timeout": limits_s}) as client:
                _ask(client)
        except (HTTPError, OSError, ValueError) as error:
            raise _unreachable(error, url) from error


def lost_server(error: Exception) -> PrefectUnreachable:
    """Return the error for a server that answered before, and no longer does what a run asks of it.

    Args:
        error: what Prefect's client raised.
    """
    code = _status(error) or _status(error.__cause__)
    what, fix = f"does not answer any more: {error}", "start it (`enginery up` starts the local stack)"
    if code == HTTPStatus.NOT_FOUND:
        what = "does not know this run any more: somebody deleted it, or the server has other data now"
        fix = ""
    elif code in REFUSALS:
        what = f"denies access now ({code}): its login was changed, or another server has its port"
    elif code is not None:
        what, fix = f"answers {code}", "look at its log"
    again = "run this again: what is done is reused"
    fix = f"{fix}, and {again}" if fix else again
    return PrefectUnreachable(f"the Prefect server {what}", where=configured_url(), fix=fix)


def _ask(client: "SyncPrefectClient") -> None:
    """Ask what a server answers to anybody, then what it answers to its users alone."""
    from prefect.exceptions import PrefectHTTPStatusError

    if problem := client.api_healthcheck():
        raise problem
    try:
        client.api_version()
    except PrefectHTTPStatusError as error:
        if error.response.status_code in REFUSALS:
            raise


def _unreachable(error: Exception, url: str) -> PrefectUnreachable:
    """Return the error for what went wrong at the address of a server."""
    code = _status(error)
    unset = f"unset {API_URL}" if _is_variable(url) else f"`prefect config unset {API_URL}`"
    what = f"does not answer: {error or type(error).__name__}"
    fix = f"start it, or {unset} to use the local stack (`enginery up`)"
    if code is not None:
        what = f"answers {code}"
    if code in REFUSALS:
        what, fix = f"denies access ({code})", ACCESS_FIX
    elif code == HTTPStatus.NOT_FOUND:
        what = f"has no API at this address ({code})"
        fix = f"name the address of its API, such as {url.rstrip('/').removesuffix('/api')}/api"
    return PrefectUnreachable(f"the Prefect server {what}", where=_where(url), fix=fix)


def _status(error: BaseException | None) -> int | None:
    """Return the status of the answer that an error is about; None if there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _where(url: str) -> str:
    return f"{url} ({API_URL if _is_variable(url) else '`prefect config view` shows what names it'})"


def _is_variable(url: str) -> bool:
    """Whether the variable names this address, and not a profile or a file."""
    return os.environ.get(API_URL, "").rstrip("/") == url.rstrip("/")
