"""Toolchains that are already there: an interpreter of the host, adopted as it is.

Promises: its directories are only read; its identity is the digest of the bytes that its programs can import;
what differs from the lock is listed by name.
"""

from tasks.toolchains.providers.host.provider import HostProvider

__all__ = ["HostProvider"]
