"""Hosting an application on an installed server: the table of servers, a checked plan, and the hand-over.

Nothing here serves a request or manages a process: the server's own command runs in place of ours, with its own
reloader, workers and signals, and finds the application through `bridge.asgi` or `bridge.wsgi`. Knows no terminal.
"""
