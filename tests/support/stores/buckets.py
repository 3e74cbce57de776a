"""Stores in both kinds of buckets that there are: what a test says of one has to hold for the other."""

import pytest

# For the fixture `store` of the integration tests, which is the S3 server's if a test does not say otherwise.
in_any_bucket = pytest.mark.parametrize("store", ["s3", "directory"], indirect=True)
