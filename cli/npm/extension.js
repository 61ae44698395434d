
import { programPath } from "./program.mjs";

/** For an extension of one's own for GitHub Copilot CLI. */
export async function createCopilotExtension({ joinSession, url, pollInterval, heartbeatInterval }) {
  return startCopilotExtension({ joinSession, program: programPath(), url, pollInterval, heartbeatInterval });
}
