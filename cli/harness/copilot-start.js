
import { joinSession } from "@github/copilot-sdk/extension";

await startCopilotExtension({ joinSession, program: PROGRAM, onlyInMesh: true });
