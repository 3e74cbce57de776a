"""Placeholders in commands and variables: `{name}`, filled in once the value is known."""

from collections.abc import Mapping


def fill_placeholders(text: str, values: Mapping[str, str]) -> str:
    """Return the text with `{name}` replaced by its value for each of these names; other braces stay.

    A serve command may hold JSON, whose braces are not placeholders, and comes from the store: no other part
    of Python's format language has a meaning here. A value is not searched for placeholders again.
    """
    parts = text.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, closed, rest = part.partition("}")
        filled.append(values[name] + rest if closed and name in values else "{" + part)
    return "".join(filled)
