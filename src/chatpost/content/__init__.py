"""From words, pipes and files to messages, without Click and the network."""
