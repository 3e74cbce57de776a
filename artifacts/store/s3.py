"""One S3 bucket: with `artifacts.store.s3_errors`, the only place that knows boto3.

Invariants:
- Every request succeeds or raises an error of `artifacts.errors` that names the endpoint and the bucket.
- Nothing is sent without a SHA-256 that the server checks: it refuses bytes that do not match. What is
  received is checked by the caller where its digest is known (blobs, listings), and else against the checksum
  that the server kept of the upload, where it keeps one.
- boto3 is imported when a bucket is opened, not before: naming a command's options must stay cheap.
"""

import base64
import contextlib
import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from artifacts.errors import ArtifactError, Conflict, NotFound, StoreUnreachable
from artifacts.parallel import run_all
from artifacts.progress import OnBytes
from artifacts.store.ranges import ByteRange, exactly, refusal
from artifacts.store.s3_errors import ACCESS_FIX, START_FIX, s3_errors
from artifacts.store.slices import FileSlice
from artifacts.store.trees import FileEntry

if TYPE_CHECKING:
    from botocore.loaders import Loader
    from mypy_boto3_s3 import S3Client

DEFAULT_REGION = "us-east-1"
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 20
ATTEMPTS = 3
# boto3 repeats a request until an answer begins; a body that breaks off is ours to ask for again.
BODY_ATTEMPTS = 5
UPLOAD_THREADS = 4
MAX_CONNECTIONS = 32
STREAM_BYTES = 1 << 20
# S3 answers 409 where two conditional writes to one key overlap; the later one is to be sent again.
OVERLAP_ATTEMPTS = 5


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
            mine_already = self._client.exceptions.BucketAlreadyOwnedByYou
            with self._errors(self._name), contextlib.suppress(mine_already):
                self._client.create_bucket(Bucket=self._name, **self._location())

    def _location(self) -> Any:
        """Where to make the bucket; AWS wants its first region to go unnamed."""
        region = self._client.meta.region_name
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        return {} if region == DEFAULT_REGION else place

    def size(self, key: str) -> int | None:
        """Size of an object in bytes, or None where there is no such object."""
        try:
            with self._errors(key):
                return self._client.head_object(**self._at(key))["ContentLength"]
        except NotFound:
            return None

    def kept_sha256(self, key: str) -> str | None:
        """SHA-256 of an object, in hex, as the server checked it when it was uploaded.

        None if there is no such object, if it was uploaded in parts, or if the server keeps no SHA-256.
        """
        try:
            with self._errors(key):
                answer = self._client.head_object(**self._at(key), ChecksumMode="ENABLED")
        except NotFound:
            return None
        try:
            return base64.b64decode(answer.get("ChecksumSHA256", ""), validate=True).hex() or None
        except ValueError:  # of an upload in parts it is no digest of the bytes, and ends in their number
            return None

    def get(self, key: str) -> Stored:
        """A small object, whole; a body that breaks off is asked for again.

        Raises NotFound, and IntegrityError where the bytes have another checksum than the server keeps.
        """
        from botocore import exceptions as boto

        broken = (boto.HTTPClientError, boto.IncompleteReadError, boto.FlexibleChecksumError)
        with self._errors(key):
            for attempt in itertools.count(1):
                answer = self._client.get_object(**self._at(key), ChecksumMode="ENABLED")
                if "ETag" not in answer:
                    what = "What answers is no S3 server: an object came without an ETag."
                    raise StoreUnreachable(what, where=str(self), fix=START_FIX)
                try:
                    with contextlib.closing(answer["Body"]) as body:
                        return Stored(body.read(), answer["ETag"])
                except broken:
                    if attempt == BODY_ATTEMPTS:
                        raise
        raise AssertionError("attempts end")

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

    def put_file(
        self,
        key: str,
        path: Path,
        entry: FileEntry,
        on_bytes: OnBytes,
        *,
        replace: bool = False,
    ) -> None:
        """Upload a file that has the digests of `entry`, chunk by chunk.

        Args:
            key: where.
            path: the file.
            entry: its size and digests.
            on_bytes: called with the size of each chunk that was sent, from several threads.
            replace: overwrite the object, which is damaged; else one that exists by then stays.

        Raises IntegrityError where the file no longer has the digests: the server checks each chunk.
        """
        condition: dict[str, Any] = {} if replace else {"IfNoneMatch": "*"}
        with contextlib.suppress(Conflict), self._errors(key):
            if len(entry.chunks) > 1:
                self._put_parts(key, path, entry, on_bytes, condition)
            else:
                self._put_whole(key, path, entry, condition)
                on_bytes(entry.size)

    def _put_whole(self, key: str, path: Path, entry: FileEntry, condition: dict[str, Any]) -> None:
        def send() -> None:
            with path.open("rb") as file:
                checksum = _base64(entry.sha256)
                self._client.put_object(**self._at(key), Body=file, ChecksumSHA256=checksum, **condition)

        self._again_on_overlap(send)

    def _put_parts(
        self,
        key: str,
        path: Path,
        entry: FileEntry,
        on_bytes: OnBytes,
        condition: dict[str, Any],
    ) -> None:
        begun = self._client.create_multipart_upload(**self._at(key), ChecksumAlgorithm="SHA256")
        upload_id = begun["UploadId"]
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
                    **self._at(key), UploadId=upload_id, MultipartUpload=finished, **condition
                )
            )
        except BaseException:
            # Best effort: the failure that led here is what matters, and parts left behind harm nobody.
            with contextlib.suppress(ArtifactError), self._errors(key):
                self._client.abort_multipart_upload(**self._at(key), UploadId=upload_id)
            raise

    def stream(
        self, key: str, asked: ByteRange, refuse_etag: Callable[[str], None] = lambda _etag: None
    ) -> Iterator[bytes]:
        """Bytes of exactly that range, in pieces of at most 1 MiB.

        Args:
            key: the object.
            asked: the range, and the size of the whole object.
            refuse_etag: called with the answer's ETag before its first byte; raises where it is refused.

        Raises NotFound, IntegrityError where the object has another size, and StoreUnreachable where the
        answer is another one than was asked for.
        """
        where = self.where(key)
        with self._errors(key):
            answer = self._client.get_object(**self._at(key), Range=asked.header)
            with contextlib.closing(answer["Body"]) as body:
                if error := refusal(asked, answer, where):
                    raise error
                refuse_etag(answer.get("ETag", ""))
                yield from exactly(body.iter_chunks(STREAM_BYTES), asked, where)

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with prefix, sorted, without the bucket's own prefix."""
        return (key for key, _size in self.sizes(prefix))

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys that begin with prefix, sorted, and sizes in bytes; the next 1,000 are asked for as needed."""
        with self._errors(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + prefix
            ):
                for item in page.get("Contents", []):
                    yield item["Key"].removeprefix(self._prefix), item["Size"]

    def children(self, prefix: str) -> Iterator[str]:
        """What follows a prefix up to the next slash, once each, sorted: the names of its directories."""
        with self._errors(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + prefix, Delimiter="/"
            ):
                for item in page.get("CommonPrefixes", []):
                    yield item["Prefix"].removeprefix(self._prefix + prefix).rstrip("/")

    def signed_url(self, key: str, *, content_type: str, valid_s: int) -> str:
        """An address by which a browser without credentials may read one object for a while.

        S3 takes such an address for a week at most (signature version 4: X-Amz-Expires <= 604,800 s).
        """
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
                overlapped = error.response["Error"]["Code"] == "ConditionalRequestConflict"
                if not overlapped or attempt == OVERLAP_ATTEMPTS:
                    raise
            else:
                return

    def _errors(self, key: str) -> contextlib.AbstractContextManager[None]:
        return s3_errors(self.where(key))

    def where(self, key: str) -> str:
        """The object in words, for messages."""
        return f"{self}, key {self._prefix}{key}"


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
        signature_version="s3v4",  # links too: boto3 would sign those by version 2, which is refused
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
        # A ValueError is of an endpoint that is no address.
        fix = START_FIX if isinstance(error, ValueError) else ACCESS_FIX
        raise StoreUnreachable(what, where=f"bucket {name}", fix=fix) from error
    return Bucket(client, name, prefix)


def has_credentials() -> bool:
    """Whether credentials for AWS stand in the variables, in the files, or with a service of this host."""
    import botocore.session
    from botocore.exceptions import BotoCoreError

    try:
        return botocore.session.get_session().get_credentials() is not None
    except BotoCoreError:
        return True  # There are some: the first request tells what is wrong with them.


@functools.cache
def _loader() -> "Loader":
    """Reader of boto3's description of S3, kept: reading it is most of what opening a bucket takes."""
    from botocore.loaders import create_loader

    return create_loader()


def _base64(hex_digest: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digest)).decode()
