"""``python -m bridge``, and the command ``bridge``."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> int:
    """Run the command line; return the exit code, or end the process where the application would keep it alive."""
    if find_spec("click") is None:
        print(  # noqa: T201
            "bridge: the command line needs click: pip install 'wsgi-asgi-bridge[cli]'", file=sys.stderr
        )
        return 2
    from bridge.cli.leaving import leave  # noqa: PLC0415 - an extra
    from bridge.cli.main import main as run  # noqa: PLC0415

    code = run()
    leave(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
