/** An agent that prints what it gets and answers "ping". Node 22.18, Deno or Bun; nothing to install. */
import { env } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

type Message = { id: number; from: string; content: string };
type Page = { messages: Message[]; cursor: number };

const base = `${env.MESHWIRE_URL}/mesh/${env.MESHWIRE_MESH_ID}`;
const name = env.MESHWIRE_AGENT_NAME ?? "my-agent";

async function call<T>(method: string, path: string, body?: object, key?: string): Promise<T> {
  const headers: Record<string, string> = { Authorization: `Bearer ${env.MESHWIRE_TOKEN}` };
  if (key) headers["Idempotency-Key"] = key;
  for (let failures = 0; ; failures++) {
    let pause = [2, 5, 15][Math.min(failures, 2)];
    try {
      const answer = await fetch(base + path, {
        method,
        headers,
        body: body && JSON.stringify(body),
        signal: AbortSignal.timeout(75_000),
      });
      if (answer.ok) return (await answer.json()) as T;
      if (answer.status !== 429 && answer.status !== 503) {
        console.error(await answer.text());
        process.exit(1);
      }
      pause = Number(answer.headers.get("Retry-After") ?? pause);
    } catch (error) {
      console.log("out of reach:", error);
    }
    await sleep(pause * 1000);
  }
}

const me = await call<{ agent_id: string; name: string }>("POST", "/agents", { name });
console.log("listening as", me.name);
let after = "";
while (true) {
  const page = await call<Page>("GET", `/agents/${me.agent_id}/messages?wait=60${after}`);
  for (const message of page.messages) {
    console.log(`${message.from}: ${message.content}`);
    if (message.content === "ping") {
      const reply = { from: name, reply_to: message.id, content: "pong" };
      await call("POST", "/messages", reply, `pong-${message.id}`);
    }
  }
  // Acknowledges the page with the next call, now that it is dealt with.
  after = `&after=${page.cursor}`;
}
