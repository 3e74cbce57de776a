"""A small Hub on this machine: the part of the Hugging Face Hub's HTTP API that its client needs for reading.

Invariants:
- It serves what `hub_repo` read when it started, and listens only on 127.0.0.1.
- Every refusal has the Hub's own status and `X-Error-Code`, so that the client raises the same exception.
- Files are streamed, never read whole; ranges are honoured.

    python -m flows.demo.hub_server --root flows/demo/hub --port 8088
    HF_ENDPOINT=http://127.0.0.1:8088 HF_HUB_DISABLE_XET=1 ...

Routes (as the Hub documents them): `/api/{models,datasets}/ID[/revision/REV]`,
`/api/{models,datasets}/ID/tree/REV`, `[/datasets]/ID/resolve/REV/PATH`; and `/health`.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from flows.demo.hub_repo import DEMO_HUB, READ_BYTES, Repo, RepoFile, RepoKind, read_hub

ADDRESS = "127.0.0.1"
API_ROUTE = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?/?$")
RESOLVE_ROUTE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
RANGE = re.compile(r"bytes=(\d+)-(\d*)$")


@dataclass(frozen=True, slots=True)
class Route:
    """The content that a request asks for."""

    action: Literal["info", "tree", "resolve"]
    kind: RepoKind
    repo_id: str
    revision: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that the client turns into an exception."""

    status: HTTPStatus
    code: str
    message: str


def parse_route(path: str) -> Route | None:
    """Parse the path of a request, without its query; return None if this Hub has no such route."""
    if match := API_ROUTE.match(path):
        kinds, repo_id, action, revision = match.groups()
        kind: RepoKind = "model" if kinds == "models" else "dataset"
        return Route("tree" if action == "tree" else "info", kind, repo_id, unquote(revision or "main"))
    if match := RESOLVE_ROUTE.match(path):
        dataset, repo_id, revision, file = match.groups()
        return Route("resolve", "dataset" if dataset else "model", repo_id, unquote(revision), unquote(file))
    return None


def admit(repo: Repo | None, route: Route, token: str) -> Repo | Refusal:
    """Decide whether a request may see a repository at a revision; the codes are the Hub's."""
    known = repo is not None and (repo.access.mode != "private" or token in repo.access.tokens)
    if repo is None or not known:
        status = HTTPStatus.NOT_FOUND if token else HTTPStatus.UNAUTHORIZED
        return Refusal(status, "RepoNotFound", "Repository not found")
    if not repo.has_revision(route.revision):
        return Refusal(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {route.revision}")
    if repo.access.mode == "gated" and route.action == "resolve" and token not in repo.access.tokens:
        status = HTTPStatus.FORBIDDEN if token else HTTPStatus.UNAUTHORIZED
        return Refusal(status, "GatedRepo", f"Access to {repo.kind} {repo.id} is restricted")
    return repo


def parse_range(header: str, size_bytes: int) -> tuple[int, int] | None:
    """Parse a `Range` header; return [first, stop), or None if it cannot be satisfied."""
    match = RANGE.match(header)
    if match is None:
        return 0, size_bytes
    start = int(match[1])
    stop = min(int(match[2]) + 1, size_bytes) if match[2] else size_bytes
    return (start, stop) if start < stop else None


class HubServer(ThreadingHTTPServer):
    """A server of the repositories under `root`, on 127.0.0.1; port 0 takes a free one."""

    daemon_threads = True

    def __init__(self, root: Path, port: int = 0, handler: "type[HubHandler] | None" = None) -> None:
        self.repos = read_hub(root)
        super().__init__((ADDRESS, port), handler or HubHandler)

    @property
    def url(self) -> str:
        """The address to set as HF_ENDPOINT."""
        return f"http://{ADDRESS}:{self.server_address[1]}"


class HubHandler(BaseHTTPRequestHandler):
    """The handler of one connection."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_GET(self) -> None:
        """Answer with headers and body."""
        self.answer()

    def do_HEAD(self) -> None:
        """Answer with headers only."""
        self.answer()

    def answer(self) -> None:
        """Find what the request asks for and send it, or the Hub's refusal."""
        url = urlsplit(self.path)
        if url.path == "/health":
            self.send_json({"repositories": len(self.server.repos)})
            return
        route = parse_route(url.path)
        if route is None:
            self.refuse(Refusal(HTTPStatus.NOT_FOUND, "", "No such route"))
            return
        repo = admit(self.server.repos.get((route.kind, route.repo_id)), route, self.token)
        if isinstance(repo, Refusal):
            self.refuse(repo)
        elif route.action == "resolve":
            self.answer_file(repo, route.path)
        elif route.action == "tree":
            self.send_json([_tree_entry(file) for file in repo.files])
        else:
            self.send_json(_info(repo, blobs="blobs" in parse_qs(url.query)))

    @property
    def token(self) -> str:
        """The bearer token of the request; empty if there is none."""
        return self.headers.get("Authorization", "").removeprefix("Bearer ").strip()

    def answer_file(self, repo: Repo, path: str) -> None:
        """Send one file, or the part of it that the request's range asks for."""
        file = repo.file(path)
        if file is None:
            self.refuse(
                Refusal(HTTPStatus.NOT_FOUND, "EntryNotFound", f"Entry not found: {path}"), repo.commit
            )
            return
        header = self.headers.get("Range", "")
        span = parse_range(header, file.size_bytes)
        if span is None:
            self.refuse(Refusal(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "", f"No such range: {header}"))
            return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if header else HTTPStatus.OK)
        for name, value in _file_headers(repo, file).items():
            self.send_header(name, value)
        if header:
            self.send_header("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{file.size_bytes}")
        self.send_header("Content-Length", str(span[1] - span[0]))
        self.end_headers()
        if self.command != "HEAD":
            self.send_bytes(file, *span)

    def send_bytes(self, file: RepoFile, start: int, stop: int) -> None:
        """Stream the bytes [start, stop) of a file."""
        with file.source.open("rb") as stream:
            stream.seek(start)
            while start < stop and (block := stream.read(min(READ_BYTES, stop - start))):
                self.wfile.write(block)
                start += len(block)

    def refuse(self, refusal: Refusal, commit: str = "") -> None:
        """Send a refusal with the headers that the client reads."""
        headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message, "X-Repo-Commit": commit}
        self.send_json({"error": refusal.message}, refusal.status, {k: v for k, v in headers.items() if v})

    def send_json(
        self, document: object, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> None:
        """Send a JSON document."""
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name is http.server's)
        """Log nothing: the client's own messages say enough."""


def _file_headers(repo: Repo, file: RepoFile) -> dict[str, str]:
    headers = {
        "X-Repo-Commit": repo.commit,
        "ETag": f'"{file.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    if file.sha256:
        headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size_bytes)}
    return headers


def _tree_entry(file: RepoFile) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "file",
        "path": file.path,
        "size": file.size_bytes,
        "oid": file.blob_id,
    }
    if file.sha256:
        entry["lfs"] = {"oid": file.sha256, "size": file.size_bytes, "pointerSize": file.pointer_bytes}
    return entry


def _info(repo: Repo, *, blobs: bool) -> dict[str, object]:
    document = {
        "id": repo.id,
        "sha": repo.commit,
        "private": repo.access.mode == "private",
        "gated": "manual" if repo.access.mode == "gated" else False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": [_sibling(file, blobs=blobs) for file in repo.files],
    }
    return document | ({"modelId": repo.id} if repo.kind == "model" else {})


def _sibling(file: RepoFile, *, blobs: bool) -> dict[str, object]:
    sibling: dict[str, object] = {"rfilename": file.path}
    if blobs:
        sibling |= {"size": file.size_bytes, "blobId": file.blob_id}
    if blobs and file.sha256:
        sibling["lfs"] = {"sha256": file.sha256, "size": file.size_bytes, "pointerSize": file.pointer_bytes}
    return sibling


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="Serve a directory of repositories as a small Hub.")
    parser.add_argument("--root", type=Path, default=DEMO_HUB)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    server = HubServer(arguments.root, arguments.port)
    sys.stdout.write(f"serving {len(server.repos)} repositories at {server.url}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
