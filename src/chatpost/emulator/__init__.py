"""A local Google Chat: what `chat-api` says a webhook does, on loopback. Needs the extra ``emulator``.

space.py      Space: threads, ids, the quota, what has been posted
contract.py   what a request may hold, judged by Google's own types
faults.py     Fault: what goes wrong with a request, on demand
server.py     Emulator: the HTTP server
pages.py      the page that shows the spaces
render.py     text and cards as safe HTML
"""

from chatpost.emulator.faults import Fault
from chatpost.emulator.server import Emulator
from chatpost.emulator.space import StoredMessage

__all__ = ["Emulator", "Fault", "StoredMessage"]
