"""Suppresses and counts repeated messages (`--once-per`)."""
