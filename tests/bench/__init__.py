"""Benchmarks: what the pipeline itself costs, and what it finds. Printed, never asserted."""
