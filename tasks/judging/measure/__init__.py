"""Asking running servers, and the records that come out; decides nothing."""
