"""A stand-in for the models that harnesses call, on loopback: it answers the first request of a turn with a call of the
tool that sends a message, and the next one with a word; or all with a word. It keeps what it was asked, so that a check can see which
tools and which messages have reached the model.

It speaks Anthropic's Messages, OpenAI's Chat Completions and Responses, and Gemini's generateContent, all with streaming.
"""

import json
import threading

from loopback import Handler, Loopback

# What the model sends in its one tool call.
CONTENT = "hello from a model"
RECEIVER = "receiver"
# What it says otherwise.
ANSWER = "at your service"


def tools_of(body):
    """The names of the tools in a request, whichever dialect it is."""
    names = []
    for tool in body.get("tools") or []:
        inner = tool.get("functionDeclarations") or tool.get("function_declarations") or tool.get("tools")
        for one in inner if inner else [tool]:
            # The Responses dialect has namespaces, whose tools are called by both names.
            space = tool.get("name") if tool.get("type") == "namespace" else None
            name = one.get("name") or one.get("function", {}).get("name")
            if name:
                names.append((space, name))
    return names


class Model(Loopback):
    """The server; what it was asked in a conversation stands in `requests`, as text. It calls a tool only when it `sends`."""

    def __init__(self, sends=False):
        self.sends = sends
        # Cleared, it keeps those who talk waiting.
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.requests = []
        self.seen_tools = set()
        self.lock = threading.Lock()
        model = self

        class Answers(Handler):
            def do_GET(self):
                self.reply(200, "application/json", b'{"data":[{"id":"stub","object":"model"}],"object":"list"}')

            def do_HEAD(self):
                self.reply(200, "text/plain", b"")

            def do_POST(self):
                try:
                    body = json.loads(self.body())
                except ValueError:
                    return self.reply(200, "application/json", b"{}")
                kind, answer = model.answer(self.path, body)
                self.reply(200, kind, answer)

            def reply(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        super().__init__(Answers)

    def saw(self, text):
        """The last request of a conversation with this text in it."""
        with self.lock:
            return next((request for request in reversed(self.requests) if text in request), None)

    def answer(self, path, body):
        names = tools_of(body)
        text = json.dumps(body)
        with self.lock:
            # Side requests, for a title or a suggestion, have no tools and not the whole conversation.
            if names:
                self.requests.append(text)
            self.seen_tools.update(name for _, name in names)
        send = next(((space, name) for space, name in names if name.endswith("send_message")), None)
        self.goes_on.wait(60)
        # In the second request of the turn the answer of the tool is there. Requests for a title have no tools.
        wants_call = self.sends and send is not None and CONTENT not in text
        call = (send, {"content": CONTENT, "to": RECEIVER}) if wants_call else None
        if "generateContent" in path or "streamGenerateContent" in path:
            return gemini(path, call)
        if path.split("?")[0].endswith("/responses"):
            return responses(body, call)
        if path.split("?")[0].endswith("/chat/completions"):
            return chat(body, call)
        if path.split("?")[0].endswith("/messages"):
            return anthropic(body, call)
        return "application/json", b'{"input_tokens":1,"totalTokens":1}'


def events(pairs, named):
    lines = []
    for name, data in pairs:
        if named:
            lines.append(f"event: {name}")
        lines.append(f"data: {data if isinstance(data, str) else json.dumps(data)}")
        lines.append("")
    return "text/event-stream", ("\n".join(lines) + "\n").encode()


def anthropic(body, call):
    usage = {"input_tokens": 1, "output_tokens": 1}
    if call:
        (_, name), arguments = call
        block = {"type": "tool_use", "id": "toolu_stub1", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        whole = block | {"input": arguments}
    else:
        block, whole = {"type": "text", "text": ""}, {"type": "text", "text": ANSWER}
        delta = {"type": "text_delta", "text": ANSWER}
    stop = "tool_use" if call else "end_turn"
    message = {"id": "msg_stub", "type": "message", "role": "assistant", "model": body.get("model", "stub"),
               "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    if not body.get("stream"):
        whole = message | {"content": [whole], "stop_reason": stop}
        return "application/json", json.dumps(whole).encode()
    return events([
        ("message_start", {"type": "message_start", "message": message}),
        ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}),
        ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage}),
        ("message_stop", {"type": "message_stop"}),
    ], named=True)


def chat(body, call):
    if call:
        (_, name), arguments = call
        said = {"role": "assistant", "content": None, "tool_calls": [
            {"index": 0, "id": "call_stub1", "type": "function",
             "function": {"name": name, "arguments": json.dumps(arguments)}}]}
    else:
        said = {"role": "assistant", "content": ANSWER}
    finish = "tool_calls" if call else "stop"
    base = {"id": "chatcmpl-stub", "created": 1, "model": body.get("model", "stub")}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    if not body.get("stream"):
        whole = base | {"object": "chat.completion", "usage": usage,
                        "choices": [{"index": 0, "message": said, "finish_reason": finish}]}
        return "application/json", json.dumps(whole).encode()
    chunk = base | {"object": "chat.completion.chunk"}
    return events([
        ("", chunk | {"choices": [{"index": 0, "delta": said, "finish_reason": None}]}),
        ("", chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}),
        ("", chunk | {"choices": [], "usage": usage}),
        ("", "[DONE]"),
    ], named=False)


def responses(body, call):
    if call:
        (space, name), arguments = call
        item = {"type": "function_call", "id": "fc_stub1", "call_id": "call_stub1", "name": name,
                "arguments": json.dumps(arguments), "status": "completed"}
        if space:
            item["namespace"] = space
    else:
        item = {"type": "message", "id": "msg_stub1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": ANSWER, "annotations": []}]}
    usage = {"input_tokens": 1, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 1,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2}
    whole = {"id": "resp_stub", "object": "response", "created_at": 1, "status": "completed",
             "model": body.get("model", "stub"), "output": [item], "usage": usage}
    if not body.get("stream"):
        return "application/json", json.dumps(whole).encode()
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    return events([
        ("response.created", {"type": "response.created", "response": begun}),
        ("response.output_item.added", {"type": "response.output_item.added", "output_index": 0, "item": item}),
        ("response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}),
        ("response.completed", {"type": "response.completed", "response": whole}),
    ], named=True)


def gemini(path, call):
    if call:
        (_, name), arguments = call
        part = {"functionCall": {"name": name, "args": arguments}}
    else:
        part = {"text": ANSWER}
    whole = {"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
             "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
             "modelVersion": "stub"}
    if "streamGenerateContent" in path:
        return events([("", whole)], named=False)
    return "application/json", json.dumps(whole).encode()
