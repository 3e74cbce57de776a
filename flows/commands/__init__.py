"""Commands of `enginery`: each reads its arguments, calls a library, and prints what came back."""
