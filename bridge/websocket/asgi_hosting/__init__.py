"""ASGI applications with WebSockets on WSGI servers: the connection is taken over from the server, and lives on the
process's one event loop.
"""
