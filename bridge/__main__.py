"""``python -m bridge``, and the command ``bridge``."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> int:
    """Run the command line; return the exit code."""
    if find_spec("click") is None:
        print(  # noqa: T201
            "bridge: the command line needs click: pip install 'wsgi-asgi-bridge[cli]'", file=sys.stderr
        )
        return 2
    from bridge.cli.main import main as run  # noqa: PLC0415 - an extra

    return run()


if __name__ == "__main__":
    sys.exit(main())
