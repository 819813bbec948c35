"""Posts a stream as replies in a thread, for `thread --follow` and `run --follow`."""
