"""WSGI applications with WebSockets on ASGI servers.

The application runs on a thread of its own and finds two keys in its environ: ``wsgi.websocket``, an object with
blocking methods (`native`), and ``werkzeug.socket``, the end of a socketpair over which it may speak frames by itself
(`wire`). Whichever it uses wins. `session` is the loop's side of both.
"""
