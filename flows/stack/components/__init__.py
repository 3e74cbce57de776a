"""The components of the local stack: S3 server, Prefect server, worker, deployments.

Nothing is imported here, so that a host with the light install can look up addresses without Prefect.
"""
