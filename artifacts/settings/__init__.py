"""What the user configures: settings, variables for tools, and what network clients read by themselves.

Promises: what is wrong is said in words, with the name of the variable or key, and never with a secret.
"""

from artifacts.settings.network import NETWORK_FIX, address_problems, proxy_problems, require_usable_network
from artifacts.settings.settings import PlacementName, QuietHost, Settings, load_settings

__all__ = [
    "NETWORK_FIX",
    "PlacementName",
    "QuietHost",
    "Settings",
    "address_problems",
    "load_settings",
    "proxy_problems",
    "require_usable_network",
]
