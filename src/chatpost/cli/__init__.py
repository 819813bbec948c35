"""Click's mechanics, and all that is written to stdout and stderr."""
