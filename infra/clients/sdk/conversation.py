"""Two sessions of the Python SDK hold a conversation: one on stdio, one on HTTP. conversation.json has the settings."""

import asyncio
import contextlib
import json
import os

import httpx2
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

with open("conversation.json") as file:
    SETTINGS = json.load(file)


async def call(session, tool, **arguments):
    result = await session.call_tool(f"meshwire_{tool}", arguments)
    assert not result.is_error, result
    return result.structured_content


async def start(session):
    await session.initialize()
    tools = (await session.list_tools()).tools
    assert sorted(tool.name for tool in tools) == SETTINGS["tools"], tools
    # Registers.
    await call(session, "status")


async def only_message(session):
    messages = (await call(session, "get_messages", wait_seconds=30))["messages"]
    assert len(messages) == 1, messages
    return messages[0]


async def main():
    asking, answering = SETTINGS["agents"]
    async with contextlib.AsyncExitStack() as stack:
        program = StdioServerParameters(command=SETTINGS["program"], args=["mcp"], env=dict(os.environ))
        local = await stack.enter_async_context(stdio_client(program))
        client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {SETTINGS['token']}"}, timeout=60)
        await stack.enter_async_context(client)
        hosted = await stack.enter_async_context(streamable_http_client(SETTINGS["url"], http_client=client))
        a = await stack.enter_async_context(ClientSession(local[0], local[1]))
        b = await stack.enter_async_context(ClientSession(hosted[0], hosted[1]))
        await start(a)
        await start(b)
        await call(a, "send_message", content="What is six by seven?", to=answering)
        question = await only_message(b)
        assert (question["from"], question["content"]) == (asking, "What is six by seven?"), question
        await call(b, "reply_to_message", message_id=question["id"], content="Forty-two.")
        answer = await only_message(a)
        assert (answer["from"], answer["content"]) == (answering, "Forty-two."), answer


asyncio.run(main())
