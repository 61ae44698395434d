
/** The extension of GitHub Copilot CLI: the tools of the mesh, and its messages pushed into the live session. `program` is
 * the path of `meshwire`. With `onlyInMesh`, a folder that belongs to no mesh gets nothing. */
async function startCopilotExtension({ joinSession, program, url, pollInterval, heartbeatInterval, onlyInMesh }) {
  const cwd = process.cwd();
  if (onlyInMesh && !inMesh(cwd)) return joinSession({});
  const server = url === undefined ? [] : ["--url", String(url)];
  const common = { program, harness: "copilot", cwd };
  const tools = new Tools({ ...common, args: server });
  let offered = [];
  let problem;
  try {
    offered = await tools.list();
  } catch (error) {
    problem = error.message;
  }
  let failing = false;
  const session = await joinSession({
    tools: offered.map((tool) => ({
      name: copilotName(tool.name),
      description: copilotName(tool.description ?? ""),
      parameters: JSON.parse(copilotName(JSON.stringify(tool.inputSchema))),
      // Always in the model's request, not only after a search for tools.
      defer: "never",
      skipPermission: tool.annotations?.readOnlyHint === true,
      handler: async (args) => {
        const { text, failed } = await tools.call(tool.name, args);
        return { textResultForLlm: text, resultType: failed ? "failure" : "success" };
      },
    })),
    hooks: {
      // The next means when a push has failed: what is unread comes with the next prompt.
      onUserPromptSubmitted: async () =>
        failing ? runHook({ ...common, args: server, event: "userPromptSubmitted" }) : undefined,
    },
  });
  const tell = (text) => session.log?.(text, { level: "warning" })?.catch?.(() => {});
  if (problem) tell(problem);
  const interval = (name, value) => (value === undefined ? [] : [name, String(value)]);
  const stop = listen({
    ...common,
    args: [
      ...server,
      ...interval("--poll-interval", pollInterval),
      ...interval("--heartbeat-interval", heartbeatInterval),
    ],
    deliver: async ({ text, summary }) => {
      failing = false;
      try {
        // Without a source it would be the user's own prompt.
        await session.send({ prompt: text, source: "agent-meshwire", mode: "enqueue", displayPrompt: summary });
      } catch (error) {
        failing = true;
        throw error;
      }
    },
    tell,
    told: problem,
  });
  session.on?.("session.shutdown", () => {
    stop();
    tools.stop();
  });
  return session;
}

/** The tools of this extension are named `mesh_…`, also where one is mentioned by another. */
function copilotName(text) {
  return text.replaceAll("meshwire_", "mesh_");
}
