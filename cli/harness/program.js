/** Runs `meshwire` and speaks lines of JSON with it. All of MeshWire is in that program: no token, no setting and no
 * request is handled here. */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** Pauses before the program is started again: after it broke off, and after it said that something must be mended. */
const RESTART = 2_000;
const RESTART_WHEN_REFUSED = 60_000;
/** How long the program may take to say which tools there are, and to answer a call. */
const LIST_TIMEOUT = 20_000;
const CALL_TIMEOUT = 150_000;
/** How long a message from a stopped program may be, in characters. */
const LONGEST_COMPLAINT = 2_000;

/** Whether the folder belongs to a mesh: there is a .mesh.json in it or above it, or the environment names one. */
function inMesh(folder) {
  if (process.env.MESHWIRE_MESH_ID) return true;
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, ".mesh.json"))) return true;
    if (dirname(at) === at) return false;
  }
}

/** Starts the program. `onLine` gets each value that it prints, `onEnd` how it ended: its exit code, whether it is
 * missing, and its last words. It neither outlives this process nor keeps it alive. */
function startProgram(program, args, { cwd, onLine, onEnd }) {
  const child = spawn(program, args, { cwd, stdio: ["pipe", "pipe", "pipe"], windowsHide: true });
  let ended = false;
  let complaint = "";
  const end = (code, missing) => {
    if (ended) return;
    ended = true;
    onEnd({ code, missing, complaint: complaint.trim() });
  };
  let rest = "";
  child.stdout.setEncoding("utf8");
  // Not node:readline: it also ends a line at U+2028 and U+2029, which JSON may contain.
  child.stdout.on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      let value;
      try {
        value = JSON.parse(line);
      } catch {
        continue;
      }
      if (value !== null && typeof value === "object") onLine(value);
    }
  });
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (chunk) => {
    complaint = (complaint + chunk).slice(-LONGEST_COMPLAINT);
  });
  child.stdin.on("error", () => {});
  child.on("error", (error) => {
    complaint ||= String(error.message);
    end(null, error.code === "ENOENT" || error.code === "EACCES");
  });
  child.on("close", (code) => end(code, false));
  for (const part of [child, child.stdin, child.stdout, child.stderr]) part?.unref?.();
  return {
    send: (value) => {
      if (child.stdin.writable) child.stdin.write(`${JSON.stringify(value)}\n`);
    },
    /** It ends when its input does. */
    stop: () => child.stdin.end(),
  };
}

/** What to say when the program is not where it was when this file was written. */
function missingText(program) {
  return `MeshWire: there is no program at ${program}. Install it and run "meshwire init" again.`;
}

/** Keeps `meshwire listen` running for a live session. `deliver` hands a push to the harness and throws when the harness
 * does not take it: then the messages stay unread. `tell` shows a line to the user, unless it was `told` already.
 * Answers a function that ends it. */
function listen({ program, harness, cwd, args = [], deliver, tell, told }) {
  let child;
  let timer;
  let stopped = false;
  const tellOnce = (text) => {
    if (text && text !== told) tell(text);
    told = text;
  };
  const start = () => {
    let problem;
    const mine = startProgram(program, ["listen", "--harness", harness, "--json", ...args], {
      cwd,
      onLine: async (line) => {
        if (line.error !== undefined) {
          problem = `MeshWire: ${line.error}${line.hint ? ` (${line.hint})` : ""}`;
          return;
        }
        if (line.push === undefined || stopped) return;
        try {
          await deliver(line);
          mine.send({ ok: line.push });
        } catch (error) {
          mine.send({ failed: line.push, why: String(error?.message ?? error) });
        }
      },
      onEnd: ({ code, missing, complaint }) => {
        if (stopped || code === 0) return;
        if (missing) return tellOnce(missingText(program));
        const refused = code !== null && code >= 2 && code <= 4;
        if (refused) tellOnce(problem ?? `MeshWire: ${complaint}`);
        timer = setTimeout(start, refused ? RESTART_WHEN_REFUSED : RESTART);
        timer.unref?.();
      },
    });
    child = mine;
  };
  start();
  return () => {
    stopped = true;
    clearTimeout(timer);
    child.stop();
  };
}

/** The tools, through a `meshwire mcp` that is started when it is first needed, and again when it has broken off. */
class Tools {
  #start;
  #running;
  #calls = new Map();
  #lastId = 0;

  constructor({ program, harness, cwd, args = [] }) {
    this.#start = () => {
      const server = startProgram(program, ["mcp", "--harness", harness, ...args], {
        cwd,
        onLine: (message) => this.#answered(server, message),
        onEnd: ({ missing, complaint }) => {
          if (this.#running?.server === server) this.#running = undefined;
          const why = missing ? missingText(program) : `MeshWire's tools broke off: ${complaint}`;
          for (const [id, call] of this.#calls) {
            if (call.server !== server) continue;
            this.#calls.delete(id);
            clearTimeout(call.timer);
            call.reject(new Error(why));
          }
        },
      });
      const ready = this.#request(server, LIST_TIMEOUT, "initialize", {
        protocolVersion: "2025-06-18",
        capabilities: {},
        clientInfo: { name: `meshwire-${harness}`, version: "1" },
      }).then(() => server.send({ jsonrpc: "2.0", method: "notifications/initialized" }));
      return { server, ready };
    };
  }

  /** The tools, as the server describes them. */
  async list() {
    return (await this.#ask(LIST_TIMEOUT, "tools/list", {})).tools ?? [];
  }

  /** Calls a tool; its text, and whether it failed. */
  async call(name, args) {
    const result = await this.#ask(CALL_TIMEOUT, "tools/call", { name, arguments: args ?? {} });
    const texts = (result.content ?? []).filter((part) => part.type === "text").map((part) => part.text);
    return { text: texts.join("\n"), failed: result.isError === true };
  }

  stop() {
    this.#running?.server.stop();
  }

  async #ask(timeout, method, params) {
    this.#running ??= this.#start();
    const { server, ready } = this.#running;
    await ready;
    return this.#request(server, timeout, method, params);
  }

  #request(server, timeout, method, params) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#calls.delete(id);
        reject(new Error("MeshWire did not answer in time"));
      }, timeout);
      this.#calls.set(id, { server, resolve, reject, timer });
      server.send({ jsonrpc: "2.0", id, method, params });
    });
  }

  #answered(server, message) {
    if (message.method !== undefined) {
      if (message.id === undefined) return;
      const answer =
        message.method === "ping" ? { result: {} } : { error: { code: -32601, message: "not supported" } };
      server.send({ jsonrpc: "2.0", id: message.id, ...answer });
      return;
    }
    const call = this.#calls.get(message.id);
    if (!call) return;
    this.#calls.delete(message.id);
    clearTimeout(call.timer);
    if (message.error) call.reject(new Error(message.error.message));
    else call.resolve(message.result ?? {});
  }
}

/** Runs `meshwire hook` once; what it says to the harness, or nothing. */
function runHook({ program, harness, cwd, args = [], event, input }) {
  return new Promise((resolve) => {
    let output;
    const child = startProgram(program, ["hook", "--harness", harness, event, ...args], {
      cwd,
      onLine: (line) => {
        output = line;
      },
      onEnd: () => resolve(output),
    });
    child.send(input ?? {});
    child.stop();
  });
}
