"""What is said when a step finds something wrong."""

from __future__ import annotations


class ReleaseError(Exception):
    """Something is not as a release must have it; the text says what to do."""
