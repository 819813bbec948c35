"""chatpost: post to a Google Chat space through its incoming webhook."""

__version__ = "0.1.0"
