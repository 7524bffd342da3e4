"""The way through `dual`: the application named by ``MATRIX_APP`` (``module:attribute``), for servers of both kinds."""

from __future__ import annotations

import os
from importlib import import_module

from bridge import dual

_module, _, _attribute = os.environ["MATRIX_APP"].partition(":")
app = dual(getattr(import_module(_module), _attribute))
