"""One S3 bucket.

Invariants, besides those of `artifacts.store.bucket`:
- Every error names the endpoint and the bucket.
- Everything is sent with a SHA-256, and the server refuses bytes that do not match it. What is received is
  checked by the caller if its digest is known (blobs, listings), and otherwise against the checksum that the
  server kept of the upload, if it keeps one.
- boto3 is imported when a bucket is opened, not before: listing a command's options must stay cheap.
"""

import base64
import contextlib
import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from artifacts.errors import ArtifactError, Conflict, NotFound, StoreUnreachable
from artifacts.parallel import run_all
from artifacts.progress import OnBytes
from artifacts.store.bucket import UPLOAD_THREADS, Bucket, ByteRange, Stored, StoredEntry
from artifacts.store.s3.errors import START_FIX, configuration_error, s3_errors
from artifacts.store.s3.ranges import exactly, range_header, refusal
from artifacts.store.s3.slices import FileSlice
from artifacts.store.trees import FileEntry

if TYPE_CHECKING:
    from botocore.loaders import Loader
    from mypy_boto3_s3 import S3Client

DEFAULT_REGION = "us-east-1"
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 20
ATTEMPTS = 3
# boto3 repeats a request until an answer begins; if a body breaks off, we have to ask again.
BODY_ATTEMPTS = 5
MAX_CONNECTIONS = 32
STREAM_BYTES = 1 << 20
# S3 answers 409 if two conditional writes to one key overlap; the later one has to be sent again.
OVERLAP_ATTEMPTS = 5


class S3Bucket(Bucket):
    """Objects under one prefix of one bucket."""

    def __init__(self, client: "S3Client", name: str, prefix: str = "") -> None:
        self._client = client
        self._name = name
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def __str__(self) -> str:
        return f"{self._place}, keys below {self._prefix}" if self._prefix else self._place

    @property
    def _place(self) -> str:
        return f"bucket {self._name} at {self._client.meta.endpoint_url}"

    def ensure(self) -> None:
        """Create the bucket if it does not exist."""
        try:
            with self._errors(self._name):
                self._client.head_bucket(Bucket=self._name)
        except NotFound:
            mine_already = self._client.exceptions.BucketAlreadyOwnedByYou
            with self._errors(self._name), contextlib.suppress(mine_already):
                self._client.create_bucket(Bucket=self._name, **self._location())

    def _location(self) -> Any:
        """Say where to create the bucket; AWS wants its first region to be left out."""
        region = self._client.meta.region_name
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        return {} if region == DEFAULT_REGION else place

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None if there is no such object."""
        try:
            with self._errors(key):
                return self._client.head_object(**self._at(key))["ContentLength"]
        except NotFound:
            return None

    def kept_sha256(self, key: str) -> str | None:
        """Return the SHA-256 of an object, in hexadecimal, as the server checked it on upload.

        None if there is no such object, if it was uploaded in parts, or if the server keeps no SHA-256.
        """
        try:
            with self._errors(key):
                answer = self._client.head_object(**self._at(key), ChecksumMode="ENABLED")
        except NotFound:
            return None
        try:
            return base64.b64decode(answer.get("ChecksumSHA256", ""), validate=True).hex() or None
        except ValueError:  # after an upload in parts it is no digest of the bytes: it ends in their number
            return None

    def get(self, key: str) -> Stored:
        """Return a small object, whole; if its body breaks off, it is asked for again.

        Raises NotFound, or IntegrityError if the bytes do not match the checksum that the server keeps.
        """
        from botocore import exceptions as boto

        broken = (boto.HTTPClientError, boto.IncompleteReadError, boto.FlexibleChecksumError)
        with self._errors(key):
            for attempt in itertools.count(1):
                answer = self._client.get_object(**self._at(key), ChecksumMode="ENABLED")
                if "ETag" not in answer:
                    what = "what answers is not an S3 server: an object came without an ETag"
                    raise StoreUnreachable(what, where=str(self), fix=START_FIX)
                try:
                    with contextlib.closing(answer["Body"]) as body:
                        return Stored(body.read(), answer["ETag"])
                except broken:
                    if attempt == BODY_ATTEMPTS:
                        raise
        raise AssertionError("attempts end")

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> None:
        """Write a small object; raises Conflict if the condition does not hold."""
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
        self, key: str, path: Path, entry: FileEntry, on_bytes: OnBytes, *, replace: bool = False
    ) -> None:
        """Upload a file, in parts if it has several chunks; `on_bytes` is called from several threads.

        Raises IntegrityError if the file no longer has these digests: the server checks each chunk.
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
            # Best effort: the failure that led here is what matters, and parts left behind do no harm.
            with contextlib.suppress(ArtifactError), self._errors(key):
                self._client.abort_multipart_upload(**self._at(key), UploadId=upload_id)
            raise

    def stream(
        self, key: str, asked: ByteRange, refuse_etag: Callable[[str], None] = lambda _etag: None
    ) -> Iterator[bytes]:
        """Yield the bytes of exactly that range, in pieces of at most 1 MiB; another answer is refused."""
        where = self.where(key)
        with self._errors(key):
            answer = self._client.get_object(**self._at(key), Range=range_header(asked))
            with contextlib.closing(answer["Body"]) as body:
                if error := refusal(asked, answer, where):
                    raise error
                refuse_etag(answer.get("ETag", ""))
                yield from exactly(body.iter_chunks(STREAM_BYTES), asked, where)

    def entries(self, prefix: str) -> Iterator[StoredEntry]:
        """Yield objects sorted by key; 1,000 are asked for at a time."""
        with self._errors(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + prefix
            ):
                for item in page.get("Contents", []):
                    key = item["Key"].removeprefix(self._prefix)
                    yield StoredEntry(key, item["Size"], item["ETag"].strip('"'))

    def children(self, prefix: str) -> Iterator[str]:
        """Yield the directories below a prefix: what follows it up to the next slash, once each, sorted."""
        with self._errors(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + prefix, Delimiter="/"
            ):
                for item in page.get("CommonPrefixes", []):
                    yield item["Prefix"].removeprefix(self._prefix + prefix).rstrip("/")

    def signed_url(self, key: str, *, content_type: str, valid_s: int) -> str:
        """Return an address at which a browser without credentials can read one object for a while.

        S3 accepts such an address for a week at most (signature version 4: X-Amz-Expires <= 604,800 s).
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
        """Describe an object in words, for messages."""
        return f"{self._place}, key {self._prefix}{key}"


def open_bucket(name: str, prefix: str = "") -> S3Bucket:
    """Open a bucket at the endpoint, and with the credentials, that the standard AWS variables give.

    No request is made yet.

    Raises:
        StoreRefused: the AWS configuration itself cannot be used.
        SettingsInvalid: a proxy that it would be asked through has no usable address.
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
        signature_version="s3v4",  # for signed addresses, too: boto3 would use version 2, which is refused
        s3={"addressing_style": "path"},
        # Digests are given and checked explicitly; boto3 would add CRCs of its own.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        core = botocore.session.get_session()
        core.register_component("data_loader", _loader())
        session = boto3.Session(botocore_session=core)
        client = session.client("s3", region_name=session.region_name or DEFAULT_REGION, config=config)
    except (BotoCoreError, ValueError) as error:
        raise configuration_error(error, f"bucket {name}") from error
    return S3Bucket(client, name, prefix)


def has_credentials() -> bool:
    """Whether AWS credentials are found in variables, in files, or with a service of this host."""
    import botocore.session
    from botocore.exceptions import BotoCoreError

    try:
        return botocore.session.get_session().get_credentials() is not None
    except BotoCoreError:
        return True  # There are some: the first request will say what is wrong with them.


@functools.cache
def _loader() -> "Loader":
    """Return a reader of boto3's description of S3; it is kept, as reading takes most of the time to open."""
    from botocore.loaders import create_loader

    return create_loader()


def _base64(hex_digest: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digest)).decode()
