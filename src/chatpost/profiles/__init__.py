"""Names for webhooks, and the option defaults that go with each."""
