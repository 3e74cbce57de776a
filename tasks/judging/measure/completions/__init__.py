"""One client for the completions of every side, and the strict reading of what servers answer.

Promises: a request ends complete, or raises this project's error with the server's words; nothing is retried.
"""
