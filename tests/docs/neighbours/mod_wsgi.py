"""What mod_wsgi has under this name inside Apache, as far as the documentation uses it."""

from collections.abc import Callable
from typing import Any


def subscribe_shutdown(callback: Callable[..., Any]) -> None:
    callback("process_stopping", shutdown_reason="")
