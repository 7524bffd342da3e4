"""What Channels' ``ProtocolTypeRouter`` is in an application with Channels."""

from channels.routing import ProtocolTypeRouter

from shop import fastapi_app

application = ProtocolTypeRouter({"http": fastapi_app, "websocket": fastapi_app})
