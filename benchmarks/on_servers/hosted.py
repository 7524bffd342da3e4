"""What an ASGI server in a subprocess imports: the WSGI application and the adapter that the environment names.

Adapters are imported only when they are asked for, so that a server's memory is that of what it runs.
"""

from __future__ import annotations

import os
import pkgutil

from benchmarks.on_servers.served import ADAPTERS

_workers = os.environ.get("BENCHMARK_WORKERS")

app = ADAPTERS[os.environ["BENCHMARK_ADAPTER"]](
    pkgutil.resolve_name(os.environ["BENCHMARK_APP"]), int(_workers) if _workers else None
)
