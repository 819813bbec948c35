"""The outbox: messages that are stored until they are posted."""
