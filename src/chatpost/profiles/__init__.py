"""Named webhooks with option defaults."""
