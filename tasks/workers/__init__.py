"""Stand-alone programs, run by the interpreters of toolchains; nothing here is imported by the pipeline."""
