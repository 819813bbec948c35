"""Google Chat in its own terms: messages, webhooks and the meaning of answers."""
