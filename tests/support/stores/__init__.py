"""What a store holds for tests: trees, releases, and verdicts of several hosts."""
