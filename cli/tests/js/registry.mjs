// A registry of npm on loopback that holds the archives of one folder. Prints its address.
//
//   node registry.mjs FOLDER

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

const folder = process.argv[2];
const packages = new Map();
for (const file of readdirSync(folder).filter((name) => name.endsWith(".tgz"))) {
  const archive = readFileSync(join(folder, file));
  const manifest = execFileSync("tar", ["-xzOf", join(folder, file), "package/package.json"]);
  const { name, version, ...rest } = JSON.parse(manifest);
  packages.set(name, { name, version, rest, archive, file });
}

const server = createServer((request, response) => {
  const path = decodeURIComponent(request.url.slice(1));
  const address = `http://127.0.0.1:${server.address().port}`;
  for (const { name, version, rest, archive, file } of packages.values()) {
    if (path === name) {
      const integrity = `sha512-${createHash("sha512").update(archive).digest("base64")}`;
      const dist = { tarball: `${address}/archives/${file}`, integrity };
      response.end(
        JSON.stringify({
          name,
          "dist-tags": { latest: version },
          versions: { [version]: { name, version, ...rest, dist } },
        }),
      );
      return;
    }
    if (path === `archives/${file}`) {
      response.end(archive);
      return;
    }
  }
  response.statusCode = 404;
  response.end("{}");
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
