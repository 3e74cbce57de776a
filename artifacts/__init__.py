"""Trees, the store, releases, channels and pulling: the light layer that serving hosts install."""
