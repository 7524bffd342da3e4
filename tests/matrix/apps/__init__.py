"""One site in each framework, each in a module of its own: a server's process imports that one and no other.

``GET /`` greets, ``POST /echo`` gives the body back and says in ``X-Length`` how many bytes the application saw,
``GET /stream`` gives `tests.matrix.expected.BLOCKS` one by one. Nothing here knows of the bridge.
"""
