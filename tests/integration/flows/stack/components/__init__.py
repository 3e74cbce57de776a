"""A stack with this project's deployments: what it starts by itself, then what strangers can do with it."""
