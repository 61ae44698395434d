
/** The plugin of opencode: messages pushed into the session that was used last. The tools come by MCP. */
export const MeshWire = async ({ client, directory }) => {
  // `opencode run` ends with its turn: what is pushed then would be taken and never read.
  if (process.argv[2] === "run" || !inMesh(directory)) return {};
  /** By id: whether a session belongs to a sub-agent. */
  const belongsToSubagent = new Map();
  /** By id of the session: with which agent and model the user last spoke there. */
  const spoken = new Map();
  let current;
  let stop;

  const use = async (id) => {
    if (!id) return;
    if (!belongsToSubagent.has(id)) {
      const found = await client.session.get({ path: { id } });
      belongsToSubagent.set(id, Boolean(found?.data?.parentID));
    }
    if (belongsToSubagent.get(id)) return;
    current = id;
    // Not before there is a session: until then messages wait in the inbox.
    stop ??= listen({ program: PROGRAM, harness: "opencode", cwd: directory, deliver, tell });
  };
  const deliver = async ({ text }) => {
    if (!current) throw new Error("no session is open");
    // The user's choice of agent is kept: one that may only read stays one that may only read.
    const result = await client.session.promptAsync({
      path: { id: current },
      body: { ...spoken.get(current), parts: [{ type: "text", text }] },
    });
    if (result?.error) throw new Error(JSON.stringify(result.error));
  };
  const tell = (message) => {
    client.tui?.showToast?.({ body: { message, variant: "warning" } })?.catch?.(() => {});
  };

  return {
    event: async ({ event }) => {
      const { info, sessionID } = event.properties ?? {};
      switch (event.type) {
        case "session.created":
          belongsToSubagent.set(info?.id, Boolean(info?.parentID));
          await use(info?.id);
          break;
        case "message.updated":
          if (info?.role !== "user") break;
          spoken.set(info.sessionID, {
            ...(info.agent && { agent: info.agent }),
            ...(info.model && { model: info.model }),
          });
          await use(info.sessionID);
          break;
        case "session.idle":
          await use(sessionID);
          break;
        case "session.deleted":
          if (current === info?.id) current = undefined;
          spoken.delete(info?.id);
          break;
        case "server.instance.disposed":
          stop?.();
          break;
      }
    },
  };
};
