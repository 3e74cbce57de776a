"""A real S3 server for tests: SeaweedFS on free ports of 127.0.0.1; keys may do all, or read only."""

import contextlib
import ctypes
import json
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from flows.stack.components.object_store import INNER_PORTS, S3_PORT, sweep_sockets

READY_LIMIT_S = 60
READER_KEY = "READERKEY"
PR_SET_PDEATHSIG = 1
OWN_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
)
OPTIONS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-filer",
    "-s3",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-master.volumeSizeLimitMB=1024",
    "-master.telemetry=false",
    "-volume.max=0",
    "-volume.preStopSeconds=0",
)


class S3Server(NamedTuple):
    """Where the server answers, and whom it lets in."""

    endpoint: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        """The standard variables that make boto3 use this server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextlib.contextmanager
def serve(directory: Path) -> Iterator[S3Server]:
    """Run a server over an empty directory; it is gone when the block ends."""
    s3, s3_grpc, *others = free_ports(2 + len(OWN_PORTS))
    server = S3Server(f"http://127.0.0.1:{s3}", "TESTKEY", uuid.uuid4().hex)
    config = directory / "s3.json"
    config.write_text(json.dumps(_identities(server)))
    ports = [f"-{name}={port}" for name, port in zip(OWN_PORTS, others, strict=True)]
    argv = [
        weed(),
        f"-logdir={directory}",
        "server",
        f"-dir={directory}",
        f"-s3.config={config}",
        f"-s3.port={s3}",
        f"-s3.port.grpc={s3_grpc}",
    ]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, *OPTIONS, *ports], stdout=log, stderr=log, preexec_fn=_die_with_the_tests
        )
        try:
            _wait_until_ready(process, server, directory / "log")
            yield server
        finally:
            process.kill()
            process.wait()
            _remove_sockets((s3, s3_grpc, *others))


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def weed() -> str:
    """The server's program, installed next to this interpreter."""
    return str(Path(sys.executable).parent / "weed")


def _die_with_the_tests() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _remove_sockets(ports: Iterable[int]) -> None:
    """Remove what the server leaves in the system's temporary directory, whatever directory it was given."""
    sweep_sockets(dict(zip((S3_PORT, *INNER_PORTS), ports, strict=True)))


def _identities(server: S3Server) -> dict[str, object]:
    allowed = {server.access_key: ["Admin", "Read", "Write", "List", "Tagging"], READER_KEY: ["Read", "List"]}
    return {
        "identities": [
            {
                "name": key.lower(),
                "credentials": [{"accessKey": key, "secretKey": server.secret_key}],
                "actions": actions,
            }
            for key, actions in allowed.items()
        ]
    }


def _wait_until_ready(process: "subprocess.Popen[bytes]", server: S3Server, log: Path) -> None:
    """Wait until the server stores an object: it takes connections before it can do that."""
    client = s3_client(server)
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(Exception):  # refusing in every way is what "not ready" means
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
            return
        time.sleep(0.1)
    raise RuntimeError(f"SeaweedFS did not get ready; its log:\n{log.read_text(errors='replace')[-2000:]}")


def s3_client(server: S3Server):
    """A plain boto3 client, to look at and to damage what is stored."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
