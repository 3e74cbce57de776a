"""The worker of kind vllm, `build`, and the launcher that its engines ship, `serve`.

Promises:
- What a start compiled is used again only if it is known to be valid (`captures`) and only from a
  directory that belongs to this user alone (`place`); anything else ends in a cold start, with the reason.
- Caches ship only if starts from a copy of the tree have shown that they help (`proof`).
"""
