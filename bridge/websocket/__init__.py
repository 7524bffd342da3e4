"""WebSocket connections through the bridge: the legs of both directions.

Frames are the business of the Sans-I/O layer of `websockets` (extra ``websocket``); what is here is the hand-over, the
mapping of outcomes, and the taking over of connections. Imported only for connections that are WebSockets.
"""
