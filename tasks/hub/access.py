"""Where the Hub is, with which token it is asked, and where its client keeps downloads."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import constants, get_token

from artifacts.settings import require_usable_network

LISTING_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class HubAccess:
    """How the Hub is reached.

    Attributes:
        endpoint: address of the Hub.
        cache_dir: the client's cache.
        token: token to authenticate with; None: anonymous.
        timeout_s: time limit for the Hub's answer to a request about a repository, in seconds.
    """

    endpoint: str
    cache_dir: Path
    token: str | None = field(default=None, repr=False)
    timeout_s: float = LISTING_TIMEOUT_S

    @classmethod
    def from_environment(cls) -> "HubAccess":
        """Read HF_ENDPOINT, HF_TOKEN (or a stored login), HF_HUB_CACHE and HF_HOME.

        Raises:
            artifacts.errors.SettingsInvalid: the Hub's client would refuse a proxy or certificates.
        """
        require_usable_network()
        home = os.environ.get("HF_HOME")
        cache = os.environ.get("HF_HUB_CACHE") or (f"{home}/hub" if home else constants.HF_HUB_CACHE)
        endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
        return cls(endpoint=endpoint.rstrip("/"), cache_dir=Path(cache).expanduser(), token=get_token())
