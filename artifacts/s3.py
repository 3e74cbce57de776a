"""One S3 bucket: the only place that knows boto3.

Invariants:
- Every request either succeeds or raises an error of `artifacts.errors` that names the endpoint and the
  bucket.
- Nothing is sent or received without a SHA-256 that somebody checks: the server for uploads (it refuses bytes
  that do not match), the caller for downloads.
- boto3 is imported when a bucket is opened, not before: naming a command's options must stay cheap.
"""

import base64
import contextlib
import functools
import hashlib
import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from artifacts.errors import ArtifactError, Conflict, IntegrityError, NotFound, StoreUnreachable
from artifacts.parallel import run_all
from artifacts.trees import FileEntry

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.loaders import Loader
    from mypy_boto3_s3 import S3Client

DEFAULT_REGION = "us-east-1"
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 60
ATTEMPTS = 3
UPLOAD_THREADS = 4
MAX_CONNECTIONS = 32
STREAM_BYTES = 1 << 20
# S3 answers 409 where two conditional writes to one key overlap; the later one is to be sent again.
OVERLAP_ATTEMPTS = 5

ABSENT = ("404", "NoSuchKey", "NoSuchUpload", "NotFound")
CONFLICT = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")
DAMAGED = ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch")

START_FIX = (
    "Check that the server runs (`enginery status`; `enginery up` starts a local one) and that "
    "AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL names it."
)
ACCESS_FIX = (
    "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE, and that this "
    "identity may read and write the bucket."
)


class Stored(NamedTuple):
    """A small object as it was read: its bytes, and the ETag to replace exactly that."""

    body: bytes
    etag: str


class Bucket:
    """Objects under one prefix of one bucket. Safe to use from several threads."""

    def __init__(self, client: "S3Client", name: str, prefix: str = "") -> None:
        self._client = client
        self._name = name
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def __str__(self) -> str:
        return f"bucket {self._name} at {self._client.meta.endpoint_url}"

    def ensure(self) -> None:
        """Make the bucket where there is none."""
        try:
            with self._errors(self._name):
                self._client.head_bucket(Bucket=self._name)
        except NotFound:
            with (
                self._errors(self._name),
                contextlib.suppress(self._client.exceptions.BucketAlreadyOwnedByYou),
            ):
                self._client.create_bucket(Bucket=self._name, **self._location())

    def _location(self) -> Any:
        """Where to make the bucket; AWS wants its first region to go unnamed."""
        region = self._client.meta.region_name
        return (
            {} if region == DEFAULT_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )

    def size(self, key: str) -> int | None:
        """Size of an object in bytes, or None where there is no such object."""
        try:
            with self._errors(key):
                return self._client.head_object(**self._at(key))["ContentLength"]
        except NotFound:
            return None

    def get(self, key: str) -> Stored:
        """A small object, whole; raises NotFound."""
        with self._errors(key):
            answer = self._client.get_object(**self._at(key))
            return Stored(answer["Body"].read(), answer["ETag"])

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> None:
        """Write a small object.

        Args:
            key: where.
            body: what.
            if_absent: only if there is no such object yet.
            if_match: only if the object still has this ETag.

        Raises Conflict where the condition does not hold.
        """
        condition: dict[str, Any] = (
            {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match else {}
        )
        checksum = _base64(hashlib.sha256(body).hexdigest())
        with self._errors(key):
            self._again_on_overlap(
                lambda: self._client.put_object(
                    **self._at(key), Body=body, ChecksumSHA256=checksum, **condition
                )
            )

    def put_file(self, key: str, path: Path, entry: FileEntry, on_bytes: Callable[[int], None]) -> None:
        """Upload a file that has the digests of `entry`, chunk by chunk, unless the object exists by then.

        Raises IntegrityError where the file no longer has them: the server checks each chunk.
        """
        with contextlib.suppress(Conflict), self._errors(key):
            if len(entry.chunks) > 1:
                self._put_parts(key, path, entry, on_bytes)
            else:
                self._put_whole(key, path, entry)
                on_bytes(entry.size)

    def _put_whole(self, key: str, path: Path, entry: FileEntry) -> None:
        def send() -> None:
            with path.open("rb") as file:
                checksum = _base64(entry.sha256)
                self._client.put_object(**self._at(key), Body=file, ChecksumSHA256=checksum, IfNoneMatch="*")

        self._again_on_overlap(send)

    def _put_parts(self, key: str, path: Path, entry: FileEntry, on_bytes: Callable[[int], None]) -> None:
        upload_id = self._client.create_multipart_upload(**self._at(key), ChecksumAlgorithm="SHA256")[
            "UploadId"
        ]
        parts: dict[int, dict[str, Any]] = {}

        def send(index: int) -> None:
            checksum = _base64(entry.chunks[index])
            with FileSlice(path, *entry.span(index)) as piece:
                answer = self._client.upload_part(
                    **self._at(key),
                    UploadId=upload_id,
                    PartNumber=index + 1,
                    Body=cast("IO[bytes]", piece),
                    ChecksumSHA256=checksum,
                )
            parts[index] = {"PartNumber": index + 1, "ETag": answer["ETag"], "ChecksumSHA256": checksum}
            on_bytes(entry.span(index)[1])

        try:
            run_all(send, range(len(entry.chunks)), UPLOAD_THREADS)
            finished: Any = {"Parts": [parts[index] for index in sorted(parts)]}
            self._again_on_overlap(
                lambda: self._client.complete_multipart_upload(
                    **self._at(key), UploadId=upload_id, MultipartUpload=finished, IfNoneMatch="*"
                )
            )
        except BaseException:
            # Best effort: the failure that led here is what matters, and parts left behind harm nobody.
            with contextlib.suppress(ArtifactError), self._errors(key):
                self._client.abort_multipart_upload(**self._at(key), UploadId=upload_id)
            raise

    def stream(self, key: str, start: int, length: int) -> Iterator[bytes]:
        """Bytes of a range, in pieces of at most 1 MiB; fewer than `length` where the object ends before."""
        with self._errors(key):
            answer = self._client.get_object(**self._at(key), Range=f"bytes={start}-{start + length - 1}")
            with contextlib.closing(answer["Body"]) as body:
                yield from body.iter_chunks(STREAM_BYTES)

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with prefix, sorted, without the bucket's own prefix."""
        with self._errors(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + prefix
            ):
                for item in page.get("Contents", []):
                    yield item["Key"].removeprefix(self._prefix)

    def children(self, prefix: str) -> Iterator[str]:
        """What follows a prefix up to the next slash, once each, sorted: the names of its directories."""
        with self._errors(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + prefix, Delimiter="/"
            ):
                for item in page.get("CommonPrefixes", []):
                    yield item["Prefix"].removeprefix(self._prefix + prefix).rstrip("/")

    def signed_url(self, key: str, *, content_type: str, valid_s: int) -> str:
        """An address by which a browser without credentials may read one object for a while."""
        parameters = {**self._at(key), "ResponseContentType": content_type}
        url: str = self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=valid_s)
        return url

    def _at(self, key: str) -> Any:
        return {"Bucket": self._name, "Key": self._prefix + key}

    def _again_on_overlap(self, send: Callable[[], object]) -> None:
        for attempt in itertools.count(1):
            try:
                send()
            except self._client.exceptions.ClientError as error:
                if (
                    error.response["Error"]["Code"] != "ConditionalRequestConflict"
                    or attempt == OVERLAP_ATTEMPTS
                ):
                    raise
            else:
                return

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turn what boto3 raises into the errors of this package."""
        from botocore import exceptions as boto

        where = f"{self}, key {self._prefix}{key}"
        try:
            yield
        except boto.ClientError as error:
            raise _refusal(error, where) from error
        except (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
        ) as error:
            raise StoreUnreachable(
                f"No usable AWS credentials: {error}.", where=where, fix=ACCESS_FIX
            ) from error
        except (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError) as error:
            raise StoreUnreachable(
                f"The S3 server does not answer: {error}", where=where, fix=START_FIX
            ) from error


def _refusal(error: "ClientError", where: str) -> ArtifactError:
    """The error for an answer that says no."""
    code = error.response["Error"]["Code"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    said = f"{code}: {error.response['Error'].get('Message', '')}".rstrip(": ")
    if code == "NoSuchBucket":
        return NotFound(
            "The bucket does not exist.", where=where, fix="Create it, or set ENGINERY_STORE_BUCKET."
        )
    if code in ABSENT:
        return NotFound("There is no such object.", where=where)
    if code in CONFLICT:
        return Conflict("Another writer was first.", where=where)
    if code in DAMAGED:
        return IntegrityError(
            f"The server received other bytes than were announced ({said}).",
            where=where,
            fix="Nothing was stored. Start again once nothing writes into the directory that is uploaded.",
        )
    if code == "InvalidRange":
        return IntegrityError(f"The object ends early ({said}).", where=where, fix="Upload it again.")
    if code == "RequestTimeTooSkewed":
        return StoreUnreachable(f"The S3 server refuses: {said}", where=where, fix="Set this host's clock.")
    if status in {401, 403} or code in {"InvalidAccessKeyId", "ExpiredToken", "InvalidToken"}:
        return StoreUnreachable(f"The S3 server refuses access ({said}).", where=where, fix=ACCESS_FIX)
    return StoreUnreachable(f"The S3 server failed ({said}).", where=where, fix=START_FIX)


class FileSlice(io.RawIOBase):
    """A range of a file as a file of its own, so that a part is sent without being held in memory."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._start, self._length, self._position = start, length, 0
        self._file.seek(start)

    def __len__(self) -> int:
        return self._length

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is: boto3 reads a part once to sign it, and again to send it."""
        return True

    def tell(self) -> int:
        """Position within the slice."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move within the slice."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = origin + offset
        self._file.seek(self._start + self._position)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with what follows, not beyond the slice."""
        room = min(len(buffer), max(0, self._length - self._position))
        count = self._file.readinto(memoryview(buffer)[:room])
        self._position += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def open_bucket(name: str, prefix: str = "") -> Bucket:
    """The bucket at the endpoint and with the credentials that the standard AWS variables give.

    No request is made yet. Raises StoreUnreachable where the AWS configuration itself cannot be read.
    """
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        max_pool_connections=MAX_CONNECTIONS,
        s3={"addressing_style": "path"},
        # Digests are given and checked explicitly; boto3's own CRCs would come on top.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        core = botocore.session.get_session()
        core.register_component("data_loader", _loader())
        session = boto3.Session(botocore_session=core)
        client = session.client("s3", region_name=session.region_name or DEFAULT_REGION, config=config)
    except (BotoCoreError, ValueError) as error:
        what = f"The AWS configuration is wrong: {error}."
        raise StoreUnreachable(what, where=f"bucket {name}", fix=ACCESS_FIX) from error
    return Bucket(client, name, prefix)


@functools.cache
def _loader() -> "Loader":
    """Reader of boto3's description of S3, kept: reading it is most of what opening a bucket takes."""
    from botocore.loaders import create_loader

    return create_loader()


def _base64(hex_digest: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digest)).decode()
