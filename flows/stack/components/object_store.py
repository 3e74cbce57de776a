"""The S3 server of the local stack: SeaweedFS with its own credentials.

Only its S3 port accepts requests from other programs; `store_security` closes the rest.
"""

import json
import secrets
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.ports import HOST
from flows.errors import INSTALL_FIX, CredentialsDamaged, ExtraMissing
from flows.stack.system.private_files import write_private
from flows.stack.system.state import StackPaths

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

NAME = "object-store"
S3_PORT = "s3"
DEFAULT_S3_PORT = 8333
REGION = "us-east-1"
INNER_PORTS = (
    "master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3.grpc",
)  # fmt: skip

_PROBE_KEY = "local-stack/ready"
_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]


def credentials(paths: StackPaths) -> tuple[str, str]:
    """Return the access key and secret of the stack's S3 server.

    They are created on first use, in a file that only its owner can read.

    Raises:
        CredentialsDamaged: the file does not hold them.
    """
    path = paths.credentials_file
    if not path.exists():
        _write_credentials(paths, f"ENGINERY{secrets.token_hex(6).upper()}", secrets.token_urlsafe(30))
    try:
        identity = json.loads(path.read_bytes())["identities"][0]["credentials"][0]
        return str(identity["accessKey"]), str(identity["secretKey"])
    except (ValueError, LookupError, TypeError) as error:
        raise CredentialsDamaged.at(path) from error


def command(paths: StackPaths, ports: dict[str, int]) -> list[str]:
    """Return the command that serves the stack's objects on the given ports."""
    argv = [
        _weed(),
        # The directory of its own log files; the default is /tmp.
        f"-logdir={paths.log(NAME).parent}",
        "server",
        f"-dir={paths.objects_dir}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        "-filer",
        "-s3",
        f"-s3.config={paths.credentials_file}",
        f"-s3.port={ports[S3_PORT]}",
        # Two further protocols of the S3 server that nothing here uses.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # Nor does anything here manage users or need temporary credentials.
        "-s3.iam=false",
        f"-s3.allowedOrigins={allowed_origins(ports)}",
        f"-filer.allowedOrigins={allowed_origins(ports)}",
        # Unix sockets with plain HTTP, by default in /tmp; here in the stack's own directory, which is also
        # the server's working directory.
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
        "-master.volumeSizeLimitMB=1024",
        "-master.telemetry=false",
        # A single master need not wait ten seconds for others to stand for election.
        "-master.electionTimeout=1s",
        # The default waits ten seconds for other servers to notice the shutdown; there are none.
        "-volume.preStopSeconds=0",
        # As many volumes as fit on the disk; the default of 8 would end at 8 GB.
        "-volume.max=0",
    ]
    return argv + [f"-{_flag(name)}={ports[name]}" for name in INNER_PORTS]


def allowed_origins(ports: dict[str, int]) -> str:
    """Return the web origin that may send requests: the server itself, which serves no pages."""
    return f"http://{HOST}:{ports[S3_PORT]}"


def client(paths: StackPaths, url: str) -> "S3Client":
    """Return an S3 client of the stack's own store, whatever the environment says; it fails fast."""
    import boto3
    from botocore.config import Config

    key, secret = credentials(paths)
    config = Config(
        connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
    )
    session = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=REGION)
    return session.client("s3", endpoint_url=url, config=config)


def bucket_ready(paths: StackPaths, url: str, bucket: str) -> Callable[[], bool]:
    """Return a probe that makes the bucket, and is true once an object can be written and read.

    It is not enough that the server answers: for a moment after its start it does not know its own volumes,
    and answers reads of what it holds with an internal error.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    s3 = client(paths, url)

    def ready() -> bool:
        try:
            if bucket not in {entry["Name"] for entry in s3.list_buckets()["Buckets"]}:
                s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key=_PROBE_KEY, Body=b"ready")
            s3.get_object(Bucket=bucket, Key=_PROBE_KEY)["Body"].read()
            s3.delete_object(Bucket=bucket, Key=_PROBE_KEY)
        except (
            BotoCoreError,
            ClientError,
        ):  # not up yet; the caller's time limit decides how long that may be
            return False
        return True

    return ready


def sweep_sockets(ports: dict[str, int]) -> None:
    """Remove the gRPC sockets, named by its ports, that a killed server leaves in /tmp.

    A socket that another server is using, which may have got one of the ports meanwhile, is left alone.
    """
    for name in (S3_PORT, *INNER_PORTS):
        for path in Path("/tmp").glob(f"seaweedfs-*-{ports.get(name)}.sock"):  # noqa: S108  weed's own choice
            if not _is_served(path):
                path.unlink(missing_ok=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True


def _flag(port: str) -> str:
    """Return the option that sets a port: `master.port`, `master.port.grpc`."""
    server, _, protocol = port.partition(".")
    return f"{server}.port.{protocol}" if protocol else f"{server}.port"


def _weed() -> str:
    in_environment = Path(sys.executable).parent / "weed"
    found = str(in_environment) if in_environment.exists() else shutil.which("weed")
    if found is None:
        raise ExtraMissing(
            "the S3 server of the local stack (the program weed) is not installed",
            fix=INSTALL_FIX,
        )
    return found


def _write_credentials(paths: StackPaths, key: str, secret: str) -> None:
    identity = {
        "name": "enginery",
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": _ACTIONS,
    }
    write_private(paths.credentials_file, json.dumps({"identities": [identity]}).encode())
