"""The stages of the pipeline, the toolchains that they use, and the judging of what they made."""
