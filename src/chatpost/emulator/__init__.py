"""A local Google Chat, which emulates webhooks on loopback. Needs the extra ``emulator``.

space.py      Space: threads, IDs, quota, messages
contract.py   validates requests with Google's own types
types.py      those types, without the clients that they come with
faults.py     Fault: an error to inject into a request
server.py     Emulator: the HTTP server, and the page that shows the spaces
render.py     text and cards as safe HTML
"""

from chatpost.emulator.faults import Fault
from chatpost.emulator.server import Emulator
from chatpost.emulator.space import StoredMessage

__all__ = ["Emulator", "Fault", "StoredMessage"]
