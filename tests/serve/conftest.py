"""The fixtures of `tests.serve.projects`."""

from tests.serve.projects import installed, project

__all__ = ["installed", "project"]
