"""The components of the local stack: S3 server, Prefect server, worker, deployments.

Nothing is imported here: a host with the light install asks for addresses without Prefect.
"""
