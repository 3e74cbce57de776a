"""The client for completions of all sides, and the strict parsing of what servers answer.

Promises: a request completes, or raises an error with the server's own words; nothing is retried.
"""
