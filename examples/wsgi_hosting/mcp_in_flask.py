"""An MCP server mounted in a Flask application: tools for language models beside the pages for people.

    gunicorn --threads 32 mcp_in_flask:app            # the MCP endpoint is http://127.0.0.1:8000/mcp/

The MCP server is an ASGI application that needs its lifespan (its sessions live in it) and streams its answers. One
worker process, because a session lives in the process that made it; with ``stateless_http=True`` there are no sessions,
and there may be any number.
"""

from flask import Flask
from mcp.server.mcpserver import MCPServer
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from bridge import to_wsgi

prices = {"tea": 3, "rice": 2}
app = Flask(__name__)
tools = MCPServer("shop")


@app.get("/prices/<item>")
def page(item: str) -> str:
    return f"<p>{item}: {prices[item]} EUR"


@tools.tool()
async def price(item: str) -> int:
    """Return the price of an item in EUR."""
    return prices[item]


app.wsgi_app = DispatcherMiddleware(
    app.wsgi_app, {"/mcp": to_wsgi(tools.streamable_http_app(streamable_http_path="/"))}
)
