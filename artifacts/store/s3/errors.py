"""Translates what boto3 raises into errors of this package, which name the endpoint and say what to do."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from artifacts.errors import (
    RESTORE_FIX,
    ArtifactError,
    BadReference,
    Conflict,
    IntegrityError,
    NotFound,
    SettingsInvalid,
    StoreRefused,
    StoreUnreachable,
)
from artifacts.settings import NETWORK_FIX, proxy_problems

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

ABSENT = ("404", "NoSuchKey", "NoSuchUpload", "NotFound")
CONFLICT = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")
DAMAGED = ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch")

START_FIX = (
    "check that the server runs (`enginery status`; `enginery up` starts a local one) and that "
    "AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL names it"
)
PROXY_FIX = "check HTTP_PROXY and HTTPS_PROXY; NO_PROXY names the hosts that are asked without a proxy"
CERTIFICATES_FIX = (
    "name the file of the certificates to trust with AWS_CA_BUNDLE (otherwise REQUESTS_CA_BUNDLE is read)"
)
REDIRECT_FIX = (
    "let AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL name the address that it redirects to, such as https:// "
    "instead of http://; a login page of the network redirects, too"
)
# What boto3 reads; it knows no other proxies.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY")
ABSENT_FIX = (
    "check the name, and that this is the store that was meant (ENGINERY_STORE_BUCKET, "
    "ENGINERY_STORE_PREFIX and the endpoint)"
)
ACCESS_FIX = (
    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE, and that this "
    "identity may read and write the bucket"
)


@contextlib.contextmanager
def s3_errors(where: str) -> Iterator[None]:
    """Turn what boto3 raises inside the block into errors of this package.

    Args:
        where: endpoint, bucket and key that the block works on.
    """
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        raise _refusal(error, where) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise StoreRefused(f"no usable AWS credentials: {error}", where=where, fix=ACCESS_FIX) from error
    except boto.FlexibleChecksumError as error:
        what = f"the object is damaged in the store: {error}"
        raise IntegrityError(what, where=where, fix=RESTORE_FIX) from error
    except (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError) as error:
        raise _no_answer(error, where) from error
    except boto.ParamValidationError as error:
        what = f"S3 does not allow a bucket or key of that name: {error}"
        raise BadReference(what, where=where, fix="check ENGINERY_STORE_BUCKET and _PREFIX") from error
    except RecursionError as error:
        raise _redirected(where) from error
    except boto.BotoCoreError as error:
        what = f"what answers is not an S3 server, or the request cannot be sent: {error}"
        raise StoreUnreachable(what, where=where, fix=START_FIX) from error


def configuration_error(error: Exception, where: str) -> ArtifactError:
    """Return the error for what boto3 refuses before it sends a request.

    Args:
        error: what it raised.
        where: the bucket.
    """
    if problems := proxy_problems(PROXIES):
        return SettingsInvalid("; ".join(problems), where=where, fix=NETWORK_FIX)
    names = ", ".join(sorted(name for name in os.environ if name.startswith("AWS_"))) or "none is set"
    return StoreRefused(
        f"the AWS configuration is wrong: {str(error).rstrip('.')}",
        where=f"{where}; variables AWS_* ({names}), and the files that `aws configure` writes",
        fix="correct or unset the wrong one; an endpoint is a whole address, such as http://127.0.0.1:8333",
    )


def _no_answer(error: "BotoCoreError", where: str) -> ArtifactError:
    """Return the error for a request that got no answer, which may be due to what boto3 sends it through."""
    from botocore import exceptions as boto

    if problems := proxy_problems(PROXIES):
        return SettingsInvalid("; ".join(problems), where=where, fix=NETWORK_FIX)
    if isinstance(error.kwargs.get("error"), RecursionError):  # it depends on who runs out of stack
        return _redirected(where)
    if isinstance(error, boto.ProxyConnectionError):
        return StoreUnreachable("the proxy to the S3 server does not answer", where=where, fix=PROXY_FIX)
    if isinstance(error, boto.SSLError):
        return StoreUnreachable(
            f"the S3 server cannot be trusted: {error}", where=where, fix=CERTIFICATES_FIX
        )
    return StoreUnreachable(f"the S3 server does not answer: {error}", where=where, fix=START_FIX)


def _redirected(where: str) -> StoreUnreachable:
    """Return the error for an address that answers every request with a redirect.

    boto3 takes each for one to another region, and asks for that by a request like the first, without end.
    """
    what = "what answers is not an S3 server: it redirects every request"
    return StoreUnreachable(what, where=where, fix=REDIRECT_FIX)


def _refusal(error: "ClientError", where: str) -> ArtifactError:
    """Return the error for an answer that refuses the request."""
    code = error.response["Error"]["Code"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    # A web server in between answers with a page, in which there is no code.
    said = f"{code or f'status {status}'}: {error.response['Error'].get('Message', '')}".rstrip(": ")
    if code == "NoSuchBucket":
        fix = "create it, or set ENGINERY_STORE_BUCKET"
        return NotFound("the bucket does not exist", where=where, fix=fix)
    if code in ABSENT:
        return NotFound("there is no such object", where=where, fix=ABSENT_FIX)
    if code in CONFLICT:
        return Conflict("another writer was first", where=where)
    if code in DAMAGED:
        return IntegrityError(
            f"the server received other bytes than announced ({said})",
            where=where,
            fix="start again once nothing writes into the directory that is uploaded; nothing was stored",
        )
    if code == "InvalidRange":
        return IntegrityError(f"the object ends early ({said})", where=where, fix=RESTORE_FIX)
    if code == "RequestTimeTooSkewed":
        return StoreRefused(f"the S3 server refuses: {said}", where=where, fix="set this host's clock")
    if status in {401, 403} or code in {"InvalidAccessKeyId", "ExpiredToken", "InvalidToken"}:
        return StoreRefused(f"the S3 server refuses access ({said})", where=where, fix=ACCESS_FIX)
    return StoreUnreachable(f"the S3 server failed ({said})", where=where, fix=START_FIX)
