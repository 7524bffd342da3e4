"""uWSGI from its Python module; all arguments are its own."""

from __future__ import annotations

import sys

import pyuwsgi

if __name__ == "__main__":
    pyuwsgi.run(sys.argv[1:])
