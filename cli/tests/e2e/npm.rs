//! The npm packages, made as a release makes them and installed by npm from a registry on loopback.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use crate::program::{Computer, signed_in};
use crate::service::{Service, programs};

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[track_caller]
fn succeed(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}: {told}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    told
}

/// The platform of these tests, as Node names it.
fn platform() -> String {
    let script = "process.stdout.write(`${process.platform}-${process.arch}`)";
    succeed(&Command::new("node").args(["-e", script]).output().unwrap())
}

/// The archives of all packages. Those of other platforms hold something that is no program.
fn archives() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm");
        let _ = std::fs::remove_dir_all(&folder);
        let (packages, archives) = (folder.join("packages"), folder.join("archives"));
        std::fs::create_dir_all(&archives).unwrap();
        let other = folder.join("other");
        std::fs::write(&other, "of another platform").unwrap();
        let mut build = Command::new("node");
        build.arg(root().join("cli/npm/build.mjs")).arg("--out").arg(&packages);
        let here = platform();
        for name in
            ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64", "win32-x64", "win32-arm64"]
        {
            let program = if name == here { programs().join("meshwire") } else { other.clone() };
            build.arg(format!("{name}={}", program.display()));
        }
        succeed(&build.output().unwrap());
        let mut pack = Command::new("npm");
        pack.args(["pack", "--silent", "--pack-destination"]).arg(&archives);
        for package in std::fs::read_dir(&packages).unwrap() {
            pack.arg(package.unwrap().path());
        }
        succeed(&pack.env("npm_config_cache", folder.join("cache")).output().unwrap());
        archives
    })
}

/// A registry that has our packages and nothing else; it ends with the test.
struct Registry {
    url: String,
    child: Child,
}

impl Registry {
    fn start() -> Self {
        use std::io::BufRead as _;
        let mut child = Command::new("node")
            .arg(root().join("cli/tests/js/registry.mjs"))
            .arg(archives())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { url: url.trim().to_owned(), child }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_registry(computer: &mut Computer, registry: &Registry) {
    computer.set("npm_config_registry", &registry.url);
    computer.set("npm_config_update_notifier", "false");
}

/// Installs the package in the project folder, where code may import it.
pub(crate) fn install_locally(computer: &Computer) {
    let registry = Registry::start();
    computer
        .does(&format!("npm install --no-audit --no-fund --registry {} meshwire", registry.url));
}

#[test]
fn npm_installs_the_program_of_this_platform() {
    let registry = Registry::start();
    let mut computer = Computer::new();
    with_registry(&mut computer, &registry);
    let version = format!("meshwire {}", env!("CARGO_PKG_VERSION"));
    computer.does("npm install --global --prefix ~/npm --no-audit --no-fund meshwire");
    assert_eq!(computer.does("~/npm/bin/meshwire --version").trim(), version);
    let found = computer.does("find ~/npm -path '*@meshwire/cli-*/package.json'");
    assert_eq!(found.lines().count(), 1, "{found}");
    assert!(found.contains(&format!("@meshwire/cli-{}/", platform())), "{found}");
    // Without installing it.
    assert_eq!(computer.does("npx --yes meshwire --version").trim(), version);
    // Left out, it says what is missing and how to mend it.
    computer.does(&format!("rm -r {}", Path::new(found.trim()).parent().unwrap().display()));
    let output = computer.run("~/npm/bin/meshwire --version");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&format!("the package @meshwire/cli-{} is missing", platform())));
    assert!(errors.contains("--omit=optional"), "{errors}");
}

#[test]
fn the_launcher_is_as_the_program_itself() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    install_locally(&computer);
    let launcher = "node_modules/.bin/meshwire";
    // Exit codes, input and output.
    assert_eq!(computer.run(&format!("{launcher} no-such-command")).status.code(), Some(2));
    let missing = computer.run(&format!("{launcher} send hello --to no-such-agent"));
    assert_eq!(missing.status.code(), Some(4));
    computer.does(&format!("echo 'from a pipe' | {launcher} send - --to @ada"));
    assert!(computer.does(&format!("{launcher} inbox")).contains("from a pipe"));
    // Signals: it ends as the program does.
    for signal in ["-INT", "-TERM"] {
        let mut listening = computer.start(&format!("{launcher} listen"));
        listening.says("MeshWire listening");
        assert_eq!(listening.signal(signal), 0, "{signal}");
    }
    // Killed from outside, the program takes the launcher with it.
    let mut listening = computer.start(&format!("{launcher} listen"));
    listening.says("MeshWire listening");
    let child = computer.does(&format!("pgrep --parent {}", listening.id()));
    computer.does(&format!("kill -KILL {}", child.trim()));
    assert_eq!(listening.exit_code(), -1, "it ends by the same signal");
}
