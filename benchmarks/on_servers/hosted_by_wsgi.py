"""What a WSGI server in a subprocess imports: the ASGI application and the adapter that the environment names."""

from __future__ import annotations

import os
import pkgutil

from benchmarks.on_servers.served_by_wsgi import ADAPTERS

app = ADAPTERS[os.environ["BENCHMARK_ADAPTER"]](pkgutil.resolve_name(os.environ["BENCHMARK_APP"]))
