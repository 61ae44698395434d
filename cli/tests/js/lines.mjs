// For stand-ins of harnesses: what they see is printed, a line of JSON each; what they are to do is read.

import { createInterface } from "node:readline";

export const print = (value) => console.log(JSON.stringify(value));

/** Calls the function of each command that is read; ends with the input. */
export function obey(commands) {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    for (const [name, value] of Object.entries(JSON.parse(line))) {
      try {
        print({ [name]: (await commands[name](value)) ?? null });
      } catch (error) {
        print({ [name]: { thrown: String(error.message) } });
      }
    }
  });
  lines.on("close", () => process.exit(0));
}
