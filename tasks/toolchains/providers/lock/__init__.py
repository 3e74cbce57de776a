"""Toolchains installed from a lock: exact versions with hashes, into an environment of their own."""
