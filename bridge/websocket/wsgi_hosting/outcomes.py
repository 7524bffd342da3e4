"""What an application's exception means for its WebSocket. Pure questions about errors."""

from __future__ import annotations

import errno

from bridge.errors import ApplicationError
from bridge.websocket.wsgi_hosting.contact import Contact
from bridge.websocket.wsgi_hosting.phases import Phase

_RESPONSE_RULES = "PEP 3333"


def is_no_failure(contact: Contact, error: BaseException) -> bool:
    """Tell whether this is only how the application ends a call whose connection it has used."""
    if contact.path is None and not contact.wire_was_taken_over:
        return False
    if isinstance(error, ApplicationError) and error.rule.startswith(_RESPONSE_RULES):
        return contact.path is not None  # whatever it returns then is no response, and need not be one
    if contact.wire_was_taken_over and isinstance(error, ConnectionError):
        return True  # the call ends, and something else goes on with the socket (`bridge.to_wsgi`)
    return contact.path == "wire" and _is_way_out(error, is_over=contact.phase in (Phase.CLOSED, Phase.GONE))


def _is_way_out(error: BaseException, *, is_over: bool) -> bool:
    """Tell whether this is how code for WSGI servers ends a call whose socket it has used.

    A bare ``ConnectionError`` keeps werkzeug from answering (Engine.IO raises it after every conversation). The others
    are what a socket says whose client has left; EBADF if a thread of the application has closed it because of that.
    """
    if is_over and isinstance(error, OSError) and error.errno == errno.EBADF:
        return True
    return isinstance(error, ConnectionError) and (is_over or (type(error) is ConnectionError and not error.args))
