"""What uWSGI has under this name in its own processes, as far as the documentation uses it."""

from collections.abc import Callable

atexit: Callable[[], object]
