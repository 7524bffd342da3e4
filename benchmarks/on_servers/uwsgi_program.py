"""uWSGI from its Python module, so that it runs in this interpreter; all arguments are its own."""

from __future__ import annotations

import sys

import pyuwsgi  # type: ignore[import-not-found]  # all of it is C

if __name__ == "__main__":
    pyuwsgi.run(sys.argv[1:])
