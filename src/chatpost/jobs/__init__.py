"""Jobs: commands that are run for their user, their output, and how they went before."""
