"""Two clients of ``flask_socketio_chat.py`` who talk to each other.

    python examples/flask_socketio_client.py http://127.0.0.1:8000 [http://127.0.0.1:8001]

Needs ``python-socketio[client]``. With two addresses the two are clients of two processes.
"""

import sys

import socketio

urls = sys.argv[1:]
with socketio.SimpleClient() as ann, socketio.SimpleClient() as bob:
    ann.connect(f"{urls[0]}?name=Ann")  # polls, and then changes to a WebSocket
    bob.connect(f"{urls[-1]}?name=Bob", transports=["polling"])
    for name, client in (("Ann", ann), ("Bob", bob)):
        print(name, "comes by", client.transport, "and hears:", client.call("join", "tea-room"))
    ann.emit("say", ("tea-room", "Good evening."))
    for name, client in (("Ann", ann), ("Bob", bob)):
        print(name, "hears:", client.receive(timeout=10))
