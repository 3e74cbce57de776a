"""How long the Hub wants to be left alone."""

import pytest
from httpx2 import Request, Response
from huggingface_hub.errors import HfHubHTTPError

from tasks.hub.transfer import wait_s

NOW = "Wed, 21 Oct 2026 07:28:00 GMT"


def refusal(status: int, **headers: str) -> HfHubHTTPError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Response(status, headers=named, request=Request("GET", "http://127.0.0.1"))
    return HfHubHTTPError("refused", response=answer)


@pytest.mark.parametrize(
    ("error", "wanted_s"),
    [
        (refusal(429, Retry_After="12"), 12.0),
        (refusal(503, retry_after=" 0 "), 0.0),
        (refusal(503, Retry_After="Wed, 21 Oct 2026 07:29:30 GMT", Date=NOW), 90.0),
        (refusal(503, Retry_After="Wed, 21 Oct 2026 07:00:00 GMT", Date=NOW), 0.0),
        (refusal(503, Retry_After="Wed, 21 Oct 2026 07:29:30 GMT"), None),
        (refusal(503, Retry_After="soon", Date=NOW), None),
        (refusal(429, RateLimit='"api";r=0;t=55', RateLimit_Policy='"fixed window";"api";q=500;w=300'), 55.0),
        (refusal(429, RateLimit='"api";r=3;t=55'), None),
        (refusal(500), None),
    ],
)
def test_the_wait_is_the_one_that_the_answer_names(error: HfHubHTTPError, wanted_s: float | None) -> None:
    assert wait_s(error) == wanted_s
