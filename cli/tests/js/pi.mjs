// Stands in for Pi: a session with one extension.
//
//   node pi.mjs EXTENSION

import { pathToFileURL } from "node:url";

import { obey, print } from "./lines.mjs";

const { default: extension } = await import(pathToFileURL(process.argv[2]));
const handlers = new Map();
const tools = new Map();
await extension({
  on: (type, handler) => handlers.set(type, handler),
  registerTool: (tool) => tools.set(tool.name, tool),
  sendMessage: (message, options) => print({ message, options }),
});
print({ tools: [...tools.values()].map(({ execute, ...tool }) => tool) });
const context = (hasUI) => ({ hasUI, ui: { notify: (text) => print({ notified: text }) } });
obey({
  call: ({ name, args }) => tools.get(name).execute("id", args),
  start: (hasUI) => {
    handlers.get("session_start")?.({}, context(hasUI));
  },
  shutdown: () => {
    handlers.get("session_shutdown")?.({}, context(true));
  },
});
