/** What `createCopilotExtension` needs and takes. */
export interface CopilotExtensionOptions<Session> {
  /** `joinSession` of `@github/copilot-sdk/extension`. */
  joinSession: (config: any) => Promise<Session>;
  /** The server; else as `meshwire` finds it: MESHWIRE_URL, .mesh.json, the profile. */
  url?: string;
  /** How long one poll waits, in milliseconds, up to 60,000 (default). Messages arrive at once all the same. */
  pollInterval?: number;
  /** How often it is said that the agent is there, in milliseconds, from 1,000 on. By default a poll says so. */
  heartbeatInterval?: number;
}

/**
 * Joins the session of GitHub Copilot CLI with the tools `mesh_send_message`, `mesh_reply_to_message`,
 * `mesh_get_messages`, `mesh_list_agents` and `mesh_status`, and pushes messages of other agents into it. Mesh
 * and agent are those of the folder's `.mesh.json`, or of MESHWIRE_MESH_ID and MESHWIRE_AGENT_NAME.
 */
export function createCopilotExtension<Session>(options: CopilotExtensionOptions<Session>): Promise<Session>;
