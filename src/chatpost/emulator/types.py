"""Google's types of the Chat API, without its clients and gRPC, whose imports would take half of the start-up."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec

_PACKAGE = "google.apps.chat_v1"
if (_spec := find_spec(_PACKAGE)) is None:
    raise ModuleNotFoundError(name=_PACKAGE)
# The package imports the clients. While its place is taken by an empty one, only the types are imported.
_is_imported = _PACKAGE in sys.modules
sys.modules.setdefault(_PACKAGE, module_from_spec(_spec))
from google.apps.chat_v1.types import CreateMessageRequest, Message  # noqa: E402 - see above

if not _is_imported:
    del sys.modules[_PACKAGE]

__all__ = ["CreateMessageRequest", "Message"]
