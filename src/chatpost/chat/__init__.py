"""Google Chat's API: messages, webhooks, and the errors that answers stand for."""
