"""From messages to Chat: whose turn it is, retries, deadlines."""
