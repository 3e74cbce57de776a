"""Toolchains that uv installs from a lock: exact versions with hashes, into an environment of their own.

Promises: what is installed is exactly what the lock names, byte for byte; nothing is built from source; an
installation counts only once everything in it has been checked, however often it was interrupted before.
"""

from tasks.toolchains.providers.lock.provider import LockProvider

__all__ = ["LockProvider"]
