/**
 * Makes the npm packages of a release: `meshwire`, and for each platform one with its program. Needs only Node.
 *
 *   node cli/npm/build.mjs --out DIR PLATFORM=PROGRAM…
 *   node cli/npm/build.mjs --out dist linux-x64=target/x86_64-unknown-linux-musl/release/meshwire …
 *
 * PLATFORM is as Node names it: linux, darwin or win32, and x64 or arm64. A release needs all six. Those of
 * Linux must be linked statically, against musl, so that they run on every distribution; npm cannot tell glibc
 * from musl where it is told nothing. The packages get the version of Cargo.toml.
 *
 * Afterwards each folder in DIR is published with `npm publish --access public`, `meshwire` last: its optional
 * dependencies must be there when it is.
 */

import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const PLATFORMS = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64", "win32-x64", "win32-arm64"];

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");

function fail(text) {
  console.error(`error: ${text}`);
  process.exit(2);
}

function version() {
  const manifest = readFileSync(join(root, "Cargo.toml"), "utf8");
  const section = manifest.split(/^\[workspace\.package\]$/m)[1]?.split(/^\[/m)[0] ?? "";
  return /^version = "([^"]+)"$/m.exec(section)?.[1] ?? fail("Cargo.toml names no version of the workspace");
}

function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
}

const { values, positionals } = parseArgs({ options: { out: { type: "string" } }, allowPositionals: true });
if (!values.out) fail("where to? --out DIR");
const programs = positionals.map((argument) => {
  const [platform, ...program] = argument.split("=");
  if (!PLATFORMS.includes(platform) || program.length === 0) {
    fail(`${JSON.stringify(argument)}: expected PLATFORM=PROGRAM with one of ${PLATFORMS.join(", ")}`);
  }
  return { platform, program: program.join("=") };
});

const common = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const shared = { version: version(), license: common.license, repository: common.repository };

for (const { platform, program } of programs) {
  const [os, cpu] = platform.split("-");
  const folder = join(values.out, `cli-${platform}`);
  const target = join(folder, "bin", os === "win32" ? "meshwire.exe" : "meshwire");
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(program, target);
  chmodSync(target, 0o755);
  copyFileSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  writeJson(join(folder, "package.json"), {
    name: `@meshwire/cli-${platform}`,
    description: `The program of the package meshwire for ${platform}`,
    ...shared,
    os: [os],
    cpu: [cpu],
    // Yarn must unpack what is to be run.
    preferUnplugged: true,
    files: ["bin"],
  });
}

const main = join(values.out, "meshwire");
mkdirSync(main, { recursive: true });
for (const name of ["bin", "program.mjs", "extension.d.mts"]) {
  cpSync(join(here, name), join(main, name), { recursive: true });
}
chmodSync(join(main, "bin", "meshwire.mjs"), 0o755);
// The same source as the extension that `meshwire init` writes.
const sources = [
  join(root, "cli", "harness", "program.js"),
  join(root, "cli", "harness", "copilot.js"),
  join(here, "extension.js"),
];
writeFileSync(join(main, "extension.mjs"), sources.map((source) => readFileSync(source, "utf8")).join(""));
copyFileSync(join(root, "LICENSE"), join(main, "LICENSE"));
copyFileSync(join(root, "README.md"), join(main, "README.md"));
const optionalDependencies = Object.fromEntries(
  PLATFORMS.map((platform) => [`@meshwire/cli-${platform}`, shared.version]),
);
writeJson(join(main, "package.json"), { ...common, ...shared, optionalDependencies });
