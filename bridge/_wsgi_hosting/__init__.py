"""Hosting a WSGI application: what one request needs, on both sides of the thread switch.

Private; the room behind `bridge.wsgi_to_asgi`. `exchange` is the loop's side of a request and `call` the worker's;
`request_body` receives, `files` is ``wsgi.file_wrapper``, `async_calls` the way back from the application to the
loop. Translation is `bridge.translate`'s work and moving things is `bridge._runtime`'s; this room joins the two.
"""
