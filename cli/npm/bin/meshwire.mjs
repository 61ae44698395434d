#!/usr/bin/env node
/** Runs the program for this platform as if it had been called itself. */

import { spawn } from "node:child_process";
import { constants } from "node:os";

import { programPath } from "../program.mjs";

let program;
try {
  program = programPath();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit", windowsHide: true });

// Ours to pass on and not to die of: the program ends in order, and we end as it does.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("error", (error) => {
  console.error(`error: cannot start ${program}: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Where a signal does not end us: as shells say it.
  setTimeout(() => process.exit(128 + (constants.signals[signal] ?? 0)), 1_000);
});
