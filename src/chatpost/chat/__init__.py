"""Google Chat in its own terms: messages, webhooks, and what an answer means."""
