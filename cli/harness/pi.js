
/** The extension of Pi: the tools of the mesh, and its messages pushed into the live session. */
export default async function (pi) {
  const cwd = process.cwd();
  if (!inMesh(cwd)) return;
  const tools = new Tools({ program: PROGRAM, harness: "pi", cwd });
  let problem;
  let stop;
  pi.on("session_start", (_event, context) => {
    const tell = (text) => context?.ui?.notify?.(text, "warning");
    if (problem) tell(problem);
    // Without a person's screen it ends with its turn: what is pushed then would be taken and never read.
    if (context?.hasUI === false) return;
    stop ??= listen({
      program: PROGRAM,
      harness: "pi",
      cwd,
      // Not sendUserMessage: that is the user's voice.
      deliver: async ({ text }) =>
        pi.sendMessage(
          { customType: "meshwire", content: text, display: true },
          { triggerTurn: true, deliverAs: "followUp" },
        ),
      tell,
      told: problem,
    });
  });
  pi.on("session_shutdown", () => {
    stop?.();
    stop = undefined;
    tools.stop();
  });
  try {
    for (const tool of await tools.list()) {
      pi.registerTool({
        name: tool.name,
        label: tool.title ?? tool.name,
        description: tool.description ?? "",
        parameters: tool.inputSchema,
        execute: async (_id, params) => {
          const { text, failed } = await tools.call(tool.name, params);
          if (failed) throw new Error(text);
          return { content: [{ type: "text", text }], details: {} };
        },
      });
    }
  } catch (error) {
    problem = error.message;
  }
}
