"""WebSocket connections through the bridge: the legs of both directions.

Frames are the business of the Sans-I/O layer of `websockets` (extra ``websocket``); what is here is the hand-over, the
mapping of outcomes, and the taking over of connections. Imported only for connections that are WebSockets.
"""

try:
    # Here, before any module of this package: whichever of them came first would say it in words of its own.
    import websockets as websockets
except ImportError as error:
    raise ImportError("WebSocket connections need websockets: pip install 'wsgi-asgi-bridge[websocket]'") from error
