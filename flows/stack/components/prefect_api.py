"""Requests to a Prefect server, with the credentials that its clients use.

They use plain HTTP instead of Prefect's client, which reads its settings once, when it is imported: too early
for a command that starts a server.
"""

import base64
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from functools import cached_property
from typing import Any

API_URL = "PREFECT_API_URL"
AUTH_STRING = "PREFECT_API_AUTH_STRING"

_ANSWER_LIMIT_S = 30


class PrefectApi:
    """One server's API.

    Args:
        url: its address, with `/api`.
        auth_string: "user:password"; empty if the server asks for none.
        key: API key, for servers that issue keys; as in Prefect's client, `auth_string` takes precedence.

    Every request raises OSError (urllib's HTTPError is one) if the server cannot be reached or refuses.
    """

    def __init__(self, url: str, auth_string: str = "", key: str = "") -> None:
        self.url = url.rstrip("/")
        self.auth_string = auth_string
        self.key = key

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "PrefectApi":
        """Return the server that Prefect's own variables name."""
        return cls(environ[API_URL], environ.get(AUTH_STRING, ""))

    @classmethod
    def configured(cls) -> "PrefectApi":
        """Return the server that Prefect's client uses in this process: by variables, a profile or a file."""
        from prefect.settings import get_current_settings

        api = get_current_settings().api
        auth_string, key = (
            secret.get_secret_value() if secret else "" for secret in (api.auth_string, api.key)
        )
        return cls(api.url or "", auth_string, key)

    def get(self, path: str) -> Any:
        """Send a GET request to a path below the API; return the decoded JSON."""
        return self._request(path, None, {})

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send a POST request to a path below the API; return the decoded JSON, None if there is none."""
        return self._request(path, body, self._csrf_headers)

    @cached_property
    def _csrf_headers(self) -> dict[str, str]:
        """The headers that a server with protection against cross-site request forgery requires."""
        client = uuid.uuid4().hex
        try:
            token = self.get(f"csrf-token?client={client}")["token"]
        except urllib.error.HTTPError as error:
            if error.code in {404, 422}:  # it has no such protection
                return {}
            raise
        return {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client}

    def _request(self, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Any:
        request = urllib.request.Request(  # noqa: S310  a Prefect server's address
            f"{self.url}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self._authorization(), **headers},
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_LIMIT_S) as response:  # noqa: S310
            return json.loads(response.read() or b"null")

    def _authorization(self) -> dict[str, str]:
        if self.auth_string:
            return {"Authorization": f"Basic {base64.b64encode(self.auth_string.encode()).decode()}"}
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}
