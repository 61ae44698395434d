/** Two sessions of the TypeScript SDK hold a conversation: one on stdio, one on HTTP. conversation.json has the settings. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const { program, url, token, agents, tools } = JSON.parse(readFileSync("conversation.json", "utf8"));
const [asking, answering] = agents;

async function call(client, tool, args = {}) {
  const result = await client.callTool({ name: `meshwire_${tool}`, arguments: args });
  assert.ok(!result.isError, JSON.stringify(result));
  return result.structuredContent;
}

async function start(transport) {
  const client = new Client({ name: "conversation", version: "1" });
  await client.connect(transport);
  const listed = (await client.listTools()).tools.map((tool) => tool.name);
  assert.deepEqual(listed.sort(), tools);
  // Registers.
  await call(client, "status");
  return client;
}

async function onlyMessage(client) {
  const { messages } = await call(client, "get_messages", { wait_seconds: 30 });
  assert.equal(messages.length, 1, JSON.stringify(messages));
  return messages[0];
}

const a = await start(new StdioClientTransport({ command: program, args: ["mcp"], env: process.env }));
const headers = { Authorization: `Bearer ${token}` };
const b = await start(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
await call(a, "send_message", { content: "What is six by seven?", to: answering });
const question = await onlyMessage(b);
assert.deepEqual([question.from, question.content], [asking, "What is six by seven?"]);
await call(b, "reply_to_message", { message_id: question.id, content: "Forty-two." });
const answer = await onlyMessage(a);
assert.deepEqual([answer.from, answer.content], [answering, "Forty-two."]);
await a.close();
await b.close();
