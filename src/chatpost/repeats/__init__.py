"""Repeats of a message, which `--once-per` holds back and counts."""
