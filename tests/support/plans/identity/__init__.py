"""What identifies the stages of every shipped spec, and every table that may change it."""
