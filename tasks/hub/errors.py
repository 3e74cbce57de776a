"""Translates what the Hub's client raises into errors that say what is wrong, where, and what to do.

A refusal that only a person can lift (gated, missing, no permission) is CheckpointUnavailable; a Hub that
fails, does not answer or answers with something else is HubUnreachable, which a retry may fix; a file that is
always too short is CheckpointCorrupt.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from httpx2 import HTTPError, TimeoutException
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from artifacts.disk import disk_errors
from tasks.errors import CheckpointCorrupt, CheckpointUnavailable, HubUnreachable, TaskError
from tasks.hub.access import HubAccess
from tasks.hub.transfer import Incomplete, wait_s

CLIENT_ERRORS = (
    HTTPError,
    OfflineModeIsEnabled,
    HFValidationError,
    Incomplete,
)
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@contextmanager
def hub_errors(where: str, access: HubAccess) -> Iterator[None]:
    """Turn what the client raises inside the block into an error of `tasks.errors` or a LocalDiskError.

    Args:
        where: the repository, revision and file that the block reads.
        access: the Hub that is asked, and with which token.
    """
    try:
        yield
    except CLIENT_ERRORS as error:
        raise translate(error, where, access) from error
    except OSError:
        with disk_errors(access.cache_dir):
            raise


def translate(error: Exception, where: str, access: HubAccess) -> TaskError:
    """Return the error that stands for one of the client's."""
    match error:
        case OfflineModeIsEnabled():
            return HubUnreachable("the Hub's client is offline", where=where, fix="unset HF_HUB_OFFLINE")
        case GatedRepoError():
            return _gated(where, access)
        case RepositoryNotFoundError():
            return CheckpointUnavailable(
                "the Hub has no such repository, or it is private and this token may not read it",
                where=f"{where}, at {access.endpoint}",
                fix="check owner and name; for a private repository set HF_TOKEN to a token that may read it",
            )
        case RevisionNotFoundError():
            return CheckpointUnavailable(
                "the repository has no such commit, branch or tag",
                where=where,
                fix="pin a commit that the repository's history shows",
            )
        case RemoteEntryNotFoundError():
            return CheckpointUnavailable(
                "the Hub lists this file but does not have it",
                where=where,
                fix="the upload of this commit was not finished: pin another commit",
            )
        case Incomplete():
            return _short(str(error), where)
        case HFValidationError():
            return CheckpointUnavailable(
                f"this is not a repository id: {error}", where=where, fix="write it as owner/name"
            )
        case HfHubHTTPError():
            return _status(error, where, access)
        case _:
            return _silent(error, where, access)


def _gated(where: str, access: HubAccess) -> CheckpointUnavailable:
    if access.token:
        what, fix = (
            "the repository is gated, and the token's account has no access to it",
            "ask for access on the repository's page with the account that HF_TOKEN belongs to",
        )
    else:
        what, fix = (
            "the repository is gated, and no token was given",
            "accept its terms on its page, then set HF_TOKEN to a token of that account (or `hf auth login`)",
        )
    return CheckpointUnavailable(what, where=where, fix=fix)


def _status(error: HfHubHTTPError, where: str, access: HubAccess) -> TaskError:
    code, message, delay_s = error.response.status_code, error.server_message, wait_s(error)
    said = f"the Hub answers {code}" + (f": {message}" if message else "")
    if code in REFUSED:
        return CheckpointUnavailable(
            said, where=where, fix="set HF_TOKEN to a valid token that may read this repository"
        )
    wait = "wait" if delay_s is None else f"wait {delay_s:.0f} s"
    fix = f"{wait}, then start again: what has arrived is kept"
    return HubUnreachable(said, where=f"{where}, at {access.endpoint}", fix=fix)


def _silent(error: Exception, where: str, access: HubAccess) -> HubUnreachable:
    slow = isinstance(error, TimeoutException)
    what = "the Hub does not answer in time" if slow else f"the Hub cannot be reached: {error}"
    return HubUnreachable(
        what,
        where=f"{where}, at {access.endpoint}",
        fix="check the network, proxies and HF_ENDPOINT, then start again: what has arrived is kept",
    )


def no_listing(error: Exception, where: str, access: HubAccess) -> HubUnreachable:
    """Return the error for an answer that is no listing, such as the web page of a proxy."""
    return HubUnreachable(
        f"what answers is not the Hub: its answer cannot be read ({error!r})",
        where=f"{where}, at {access.endpoint}",
        fix="check the network, proxies and HF_ENDPOINT: a proxy may want a login",
    )


def _short(why: str, where: str) -> CheckpointCorrupt:
    return CheckpointCorrupt(
        f"the file arrives incomplete: {why}",
        where=where,
        fix="a proxy or mirror truncates the file: try another HF_ENDPOINT or network",
    )
