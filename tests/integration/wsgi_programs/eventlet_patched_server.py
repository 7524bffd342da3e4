"""eventlet's server, in a process that it has patched."""

from __future__ import annotations

import os
import warnings

os.environ["EVENTLET_NO_GREENDNS"] = "yes"  # else it imports what newer releases of trio make impossible
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks to be left for something newer
    import eventlet
    from eventlet import wsgi

    eventlet.monkey_patch()

import contextlib
import logging
import sys

from tests.integration.wsgi_programs.loading import address, loaded

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        wsgi.server(eventlet.listen(address()), loaded(sys.argv[1]), log=logging.getLogger("eventlet"))
