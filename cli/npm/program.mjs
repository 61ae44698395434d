/** Where the program for this platform is: in a package of its own, of which npm installs the one that fits. */

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** The platforms that there are packages for. */
const PLATFORMS = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64", "win32-x64", "win32-arm64"];

/** The path of `meshwire`; throws an error that says what to do when it is not there. */
export function programPath() {
  const platform = `${process.platform}-${process.arch}`;
  if (!PLATFORMS.includes(platform)) {
    throw new Error(
      `there is no meshwire for ${platform}, only for ${PLATFORMS.join(", ")}; ` +
        "build it yourself with: cargo install --locked --path cli",
    );
  }
  const name = `@meshwire/cli-${platform}`;
  try {
    return require.resolve(`${name}/bin/meshwire${process.platform === "win32" ? ".exe" : ""}`);
  } catch {
    throw new Error(
      `the package ${name} is missing, which holds the program; npm leaves it out with --omit=optional ` +
        "or --no-optional, or when node_modules came from another computer; install meshwire again without these",
    );
  }
}
