"""A stream of lines becomes replies in a thread."""
