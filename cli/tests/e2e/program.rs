//! The command line as a process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::browser::Browser;
use crate::service::{LIMIT, Service, programs};

/// A person's computer: a scratch home, a project folder in it, and nothing in the environment.
pub(crate) struct Computer {
    pub(crate) home: TempDir,
    pub(crate) project: PathBuf,
    environment: Vec<(String, String)>,
}

impl Computer {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().join("project");
        std::fs::create_dir(&project).unwrap();
        Self { home, project, environment: Vec::new() }
    }

    /// With this in the environment of every command.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    fn prepare(&self, command: &mut Command) {
        // A Node of a version that we know, before the one of the system.
        let node = std::env::var("MESHWIRE_TEST_NODE").map(|folder| folder + ":");
        let path = format!("{}:{}/usr/bin:/bin", programs().display(), node.unwrap_or_default());
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", path)
            .env("BROWSER", self.home.path().join("browser"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.project)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    /// Runs a command line to its end.
    pub(crate) fn run(&self, line: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        self.prepare(&mut command);
        command.output().unwrap()
    }

    /// The same, when it must succeed; what it printed.
    #[track_caller]
    pub(crate) fn does(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// The id of the only mesh of the person.
    pub(crate) fn mesh(&self) -> String {
        let list = self.does("meshwire mesh list --json");
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        list["meshes"][0]["mesh_id"].as_str().unwrap().to_owned()
    }

    /// Starts a command line that goes on for a while.
    pub(crate) fn start(&self, line: &str) -> Running {
        let mut command = Command::new("sh");
        // `exec`: the process that we end is the program itself.
        command.args(["-c", &format!("exec {line}")]);
        self.prepare(&mut command);
        Running::new(command.spawn().unwrap())
    }

    /// The same with something on the other side of its input.
    pub(crate) fn start_spoken_to(&self, line: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {line}")]);
        self.prepare(&mut command);
        command.stdin(Stdio::piped());
        Running::new(command.spawn().unwrap())
    }

    /// Runs a command line to its end with this on its input; what it printed, when it succeeded.
    #[track_caller]
    pub(crate) fn does_with(&self, line: &str, input: &str) -> String {
        use std::io::{Seek as _, Write as _};
        // A file, which is there whole when the program starts: a hook waits for its input only for a moment.
        let mut file = tempfile::tempfile().unwrap();
        writeln!(file, "{input}").unwrap();
        file.rewind().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {line}")]);
        self.prepare(&mut command);
        command.stdin(file);
        Running::new(command.spawn().unwrap()).wait().0
    }

    /// Makes `$BROWSER` a program that writes down the address that it shall open.
    pub(crate) fn install_browser(&self) -> PathBuf {
        let (script, address) =
            (self.home.path().join("browser"), self.home.path().join("address"));
        let text = format!(
            "#!/bin/sh\nprintf '%s' \"$1\" > '{0}.new' && mv '{0}.new' '{0}'\n",
            address.display()
        );
        std::fs::write(&script, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        address
    }

    /// Signs in as a person does: runs the command, and clicks through what the browser shows.
    pub(crate) fn sign_in(&self, line: &str, browser: &mut Browser) -> String {
        let address = self.install_browser();
        let mut login = self.start(line);
        let deadline = Instant::now() + LIMIT;
        let url = loop {
            if let Ok(url) = std::fs::read_to_string(&address) {
                break url;
            }
            assert!(Instant::now() < deadline, "no browser was opened: {}", login.errors());
            std::thread::yield_now();
        };
        browser.allow_command_line(&url);
        let (output, errors) = login.wait();
        assert!(errors.contains('✓') || output.contains('✓'), "{output}{errors}");
        std::fs::remove_file(address).unwrap();
        output + &errors
    }
}

/// A computer whose person has an account on this server and is signed in, in a mesh of their own.
pub(crate) fn signed_in(service: &Service) -> (Computer, Browser) {
    signed_in_at(&service.url, service.set_up.as_deref().unwrap())
}

/// The same by the address and the one-time link of a service.
pub(crate) fn signed_in_at(url: &str, set_up: &str) -> (Computer, Browser) {
    let mut computer = Computer::new();
    computer.set("MESHWIRE_URL", url);
    let mut browser = Browser::new(url);
    browser.set_up(set_up, "ada", "correct horse CaNaRy5f1e");
    computer.sign_in("meshwire login", &mut browser);
    computer.does("meshwire mesh create test-mesh");
    (computer, browser)
}

/// A program that runs; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    input: Option<std::process::ChildStdin>,
    lines: Receiver<String>,
    error_lines: Receiver<String>,
}

fn lines_of(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (line, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for text in BufReader::new(stream).lines().map_while(Result::ok) {
            if line.send(text).is_err() {
                return;
            }
        }
    });
    lines
}

impl Running {
    fn new(mut child: Child) -> Self {
        let lines = lines_of(child.stdout.take().unwrap());
        let error_lines = lines_of(child.stderr.take().unwrap());
        let input = child.stdin.take();
        Self { child, input, lines, error_lines }
    }

    /// Writes a line to its input.
    #[track_caller]
    pub(crate) fn write_line(&mut self, text: &str) {
        self.write_bytes(format!("{text}\n").as_bytes());
    }

    /// Writes this to its input.
    #[track_caller]
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) {
        use std::io::Write as _;
        // It need not read it.
        let _ = self.input.as_mut().expect("an input").write_all(bytes);
    }

    /// Ends its input.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for a line on stdout that contains this; the line.
    #[track_caller]
    pub(crate) fn prints(&self, wanted: &str) -> String {
        self.prints_within(wanted, LIMIT)
    }

    /// The same with a limit of one's own.
    #[track_caller]
    pub(crate) fn prints_within(&self, wanted: &str, limit: Duration) -> String {
        wait_for(&self.lines, wanted, limit)
    }

    /// Waits for a line on stderr that contains this; the line.
    #[track_caller]
    pub(crate) fn says(&self, wanted: &str) -> String {
        self.says_within(wanted, LIMIT)
    }

    /// The same with a limit of one's own.
    #[track_caller]
    pub(crate) fn says_within(&self, wanted: &str, limit: Duration) -> String {
        wait_for(&self.error_lines, wanted, limit)
    }

    /// The next line on stdout.
    #[track_caller]
    pub(crate) fn next_line(&self) -> String {
        let line = self.lines.recv_timeout(LIMIT);
        line.unwrap_or_else(|error| panic!("no line ({error}): {}", self.errors()))
    }

    /// The next line on stdout, if there is one by now.
    pub(crate) fn line_now(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// Waits for the end of its output; whether nothing more came.
    pub(crate) fn is_silent(&self) -> bool {
        self.lines.recv_timeout(LIMIT) == Err(RecvTimeoutError::Disconnected)
    }

    /// What it has said on stderr and nobody has looked at.
    pub(crate) fn errors(&self) -> String {
        self.error_lines.try_iter().collect::<Vec<_>>().join("\n")
    }

    /// Waits for its end; all that it printed.
    pub(crate) fn wait(&mut self) -> (String, String) {
        let collect = |lines: &Receiver<String>| {
            let mut all = String::new();
            while let Ok(line) = lines.recv_timeout(LIMIT) {
                all.push_str(&line);
                all.push('\n');
            }
            all
        };
        let texts = (collect(&self.lines), collect(&self.error_lines));
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", texts.1);
        texts
    }

    /// Asks it to end, as Ctrl-C does; its exit code.
    pub(crate) fn interrupt(&mut self) -> i32 {
        self.signal("-INT")
    }

    /// Sends it a signal that ends it; its exit code.
    pub(crate) fn signal(&mut self, signal: &str) -> i32 {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        self.exit_code()
    }

    /// Its exit code, when it ends by itself.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.errors());
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn wait_for(lines: &Receiver<String>, wanted: &str, limit: Duration) -> String {
    let deadline = Instant::now() + limit;
    let mut seen = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) if line.contains(wanted) => return line,
            Ok(line) => seen.push(line),
            Err(error) => panic!("no line with {wanted:?} ({error}), only:\n{}", seen.join("\n")),
        }
    }
}

/// Whether a file exists below this folder, for checks of what a command has written.
pub(crate) fn has_file(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}
