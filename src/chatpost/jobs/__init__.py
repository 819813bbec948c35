"""Jobs: the commands that `run` runs, their output and their history."""
