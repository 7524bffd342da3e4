"""What a language model's program does with the tools of ``mcp_in_flask.py``.

python mcp_client.py http://127.0.0.1:8000/mcp
"""

import asyncio
import sys

import mcp


async def main(url: str) -> None:
    async with mcp.Client(url) as client:
        for tool in (await client.list_tools()).tools:
            print(f"{tool.name}: {tool.description}")
        answer = await client.call_tool("price", {"item": "tea"})
        print(answer.structured_content)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
