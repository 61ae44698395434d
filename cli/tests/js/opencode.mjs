// Stands in for opencode: a server with sessions, and one plugin.
//
//   node opencode.mjs PLUGIN

import { pathToFileURL } from "node:url";

import { obey, print } from "./lines.mjs";

const { MeshWire, ...others } = await import(pathToFileURL(process.argv[2]));
if (Object.keys(others).length > 0) throw new Error("opencode takes every export for a plugin");

let refuses = false;
const subagents = new Set();
const client = {
  session: {
    get: async ({ path }) => ({ data: { id: path.id, ...(subagents.has(path.id) && { parentID: "p" }) } }),
    promptAsync: async (request) => {
      if (refuses) return { error: { name: "NotFound" } };
      print({ prompted: request });
      return { data: undefined };
    },
  },
  tui: { showToast: async ({ body }) => print({ toast: body.message }) },
};
const hooks = await MeshWire({ client, directory: process.cwd() });
print({ hooks: Object.keys(hooks) });
obey({
  event: (event) => hooks.event({ event }),
  subagent: (id) => {
    subagents.add(id);
  },
  refuse: (value) => {
    refuses = value;
  },
});
