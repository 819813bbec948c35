"""A local Google Chat: it does what Chat does for a webhook, on loopback. Needs the extra ``emulator``.

space.py      Space: threads, ids, quota, messages
contract.py   checks requests with Google's own types
faults.py     Fault: something that goes wrong with a request, on demand
server.py     Emulator: the HTTP server, and the page that shows the spaces
render.py     text and cards as safe HTML
"""

from chatpost.emulator.faults import Fault
from chatpost.emulator.server import Emulator
from chatpost.emulator.space import StoredMessage

__all__ = ["Emulator", "Fault", "StoredMessage"]
