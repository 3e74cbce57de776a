"""Prefect flows, the local stack and the command line."""
