"""Google's types of the Chat API, without its clients and gRPC, whose imports would take half of the start-up time."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

_PACKAGE = "google.apps.chat_v1"
if _PACKAGE not in sys.modules:
    if (_spec := find_spec(_PACKAGE)) is None or _spec.loader is None:
        raise ModuleNotFoundError(name=_PACKAGE)
    _loader = _spec.loader
    _module = module_from_spec(_spec)

    def _load(name: str) -> Any:
        _module.__dict__.pop("__getattr__", None)
        _loader.exec_module(_module)
        return getattr(_module, name)

    # The package itself imports the clients, so it is executed only when something else uses a name of it.
    _module.__dict__["__getattr__"] = _load
    sys.modules[_PACKAGE] = _module
from google.apps.chat_v1.types import CreateMessageRequest, Message  # noqa: E402 - see above

__all__ = ["CreateMessageRequest", "Message"]
