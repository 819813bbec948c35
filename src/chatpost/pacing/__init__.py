"""The line of a space: one message a second, shared by processes and machines."""
