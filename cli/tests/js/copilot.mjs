// Stands in for GitHub Copilot CLI: a session that an extension made by meshwire/extension joins.
//
//   node copilot.mjs [OPTIONS-AS-JSON]     in a folder where the package meshwire is installed

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { obey, print } from "./lines.mjs";

const require = createRequire(join(process.cwd(), "x.js"));
const { createCopilotExtension } = await import(pathToFileURL(require.resolve("meshwire/extension")));

let config;
let refuses = false;
const handlers = new Map();
const session = {
  send: async (message) => {
    if (refuses) throw new Error("the session is gone");
    print({ sent: message });
  },
  on: (type, handler) => handlers.set(type, handler),
  log: async (text, options) => print({ log: text, ...options }),
};
const joinSession = async (given) => {
  config = given;
  print({ joined: given.tools.map(({ handler, ...tool }) => tool) });
  return session;
};

const joined = await createCopilotExtension({ joinSession, ...JSON.parse(process.argv[2] ?? "{}") });
if (joined !== session) throw new Error("the session is not answered");
obey({
  call: ({ name, args }) => config.tools.find((tool) => tool.name === name).handler(args, {}),
  prompt: () => config.hooks.onUserPromptSubmitted({ prompt: "x" }, {}),
  refuse: (value) => {
    refuses = value;
  },
  shutdown: () => handlers.get("session.shutdown")(),
});
