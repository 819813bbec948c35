"""From words, pipes and files to messages. Knows neither Click nor the network."""
