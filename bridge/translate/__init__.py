"""Translation between WSGI and ASGI: pure functions and state tables.

Nothing in this package performs I/O or knows of threads, event loops, the clock, the process environment or logging:
each result depends on the arguments alone. It is public; the two specifications fix its behaviour. It never imports
`bridge._runtime`.
"""

from bridge.translate.asgi_fields import native_fields_from_pairs
from bridge.translate.asgi_response import ASGIResponse
from bridge.translate.environ import EnvironOptions, environ_from_scope
from bridge.translate.environ_fields import content_length_from_environ, request_headers_from_environ
from bridge.translate.fields import ResponseFields, fields_from_headers
from bridge.translate.headers import BodyFraming, environ_key_from_name, framing_from_headers
from bridge.translate.paths import TargetPath, request_uri, target_path
from bridge.translate.response import ResponseState
from bridge.translate.scope import scope_from_environ
from bridge.translate.status import code_from_status, status_from_code

__all__ = [
    "ASGIResponse",
    "BodyFraming",
    "EnvironOptions",
    "ResponseFields",
    "ResponseState",
    "TargetPath",
    "code_from_status",
    "content_length_from_environ",
    "environ_from_scope",
    "environ_key_from_name",
    "fields_from_headers",
    "framing_from_headers",
    "native_fields_from_pairs",
    "request_headers_from_environ",
    "request_uri",
    "scope_from_environ",
    "status_from_code",
    "target_path",
]
