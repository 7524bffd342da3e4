"""The soak: many mixed requests to a real server, every answer checked, and nothing in the server that grows.

``python -m tests.soak`` runs the long one and writes docs/discussion/soak.md; `tests.soak.test_soak` is a short one.
"""
