"""One range of a file on the Hub, streamed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import get_session, hf_raise_for_status

from tasks.errors import HubUnreachable
from tasks.hub.access import HubAccess

CONTENT_RANGE = re.compile(r"bytes (\d+)-")
PARTIAL = 206


@contextmanager
def open_range(url: str, start: int, stop: int, access: HubAccess) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Open the bytes [start, stop) behind an address; yield at which byte the answer begins, and its bytes.

    A server that ignores ranges begins at 0, and ends wherever it likes.

    Raises:
        HubUnreachable: a web page comes in place of the file, as from a proxy that wants a login.
        HfHubHTTPError, HTTPError: as the Hub's client raises them.
    """
    headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    if access.token:
        headers["Authorization"] = f"Bearer {access.token}"
    with get_session().stream(
        "GET", url, headers=headers, timeout=access.timeout_s, follow_redirects=True
    ) as response:
        if response.is_error:
            response.read()
        hf_raise_for_status(response)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise HubUnreachable(
                "a web page comes in place of the file",
                where=url,
                fix="check the network, proxies and HF_ENDPOINT: a proxy may want a login",
            )
        begins = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        yield (int(begins[1]) if begins and response.status_code == PARTIAL else 0), response.iter_bytes()
