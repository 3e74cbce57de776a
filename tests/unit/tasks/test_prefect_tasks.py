"""Which failures of a stage are tried again."""

from typing import Any

import pytest
from prefect.states import Failed

from artifacts.errors import IntegrityError, StoreRefused, StoreUnreachable
from tasks.errors import HubUnreachable
from tasks.prefect_tasks import is_retryable

NOT_USED: Any = None


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (StoreUnreachable("the S3 server does not answer"), True),
        (HubUnreachable("the Hub does not answer"), True),
        (ConnectionResetError(), True),
        (StoreRefused("the S3 server refuses access"), False),
        (IntegrityError("Other bytes."), False),
        (ValueError("A defect."), False),
    ],
)
def test_only_what_waiting_can_fix_is_tried_again(error: Exception, again: bool) -> None:
    assert is_retryable(NOT_USED, NOT_USED, Failed(data=error)) == again
