"""Toolchains installed from a lock: exact versions with hashes, into an environment of their own, by uv.

Promises: what is installed is what the lock names and nothing else, byte for byte; nothing is built from
source; an installation counts once everything in it has been checked, however often it was cut off before.
"""

from tasks.toolchains.providers.lock.provider import LockProvider

__all__ = ["LockProvider"]
