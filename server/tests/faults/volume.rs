//! A small disk, which can be full.
//!
//! It is a file system in memory, mounted in a namespace of its own: as root, or where users may make namespaces.
//! A process holds it, those who use it run inside, and the kernel shows it to us.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// More than Postgres needs for a test.
const SIZE: &str = "size=48m";

pub(crate) struct Volume {
    place: PathBuf,
    holder: Child,
}

impl Volume {
    /// A new one at this place, which is made.
    pub(crate) fn new(place: &Path) -> Self {
        std::fs::create_dir(place).unwrap();
        let namespace: &[_] =
            if id("-u") == "0" { &["--mount"] } else { &["--map-root-user", "--mount"] };
        let mut holder = Command::new("unshare")
            .args(namespace)
            // Its input ends with us, and it with its input.
            .args([
                "sh",
                "-ec",
                "mount -t tmpfs -o \"$2\" disk \"$1\"; echo mounted; exec cat",
                "sh",
            ])
            .arg(place)
            .arg(SIZE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut told).unwrap();
        assert_eq!(told, "mounted\n", "root, or a user who may make namespaces, can mount");
        Self { place: place.to_owned(), holder }
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Starts what is to run inside; the program and its arguments follow.
    pub(crate) fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount"]);
        let (user, group) = (id("-u"), id("-g"));
        if user != "0" {
            command.args(["--user", "--preserve-credentials"]);
            // We are root in there, which Postgres must not be.
            command.args(["unshare", "--user"]);
            command.args([format!("--map-user={user}"), format!("--map-group={group}")]);
        }
        command
    }

    fn ballast(&self) -> PathBuf {
        let place = self.place.display();
        PathBuf::from(format!("/proc/{}/root{place}/ballast", self.holder.id()))
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create_new(self.ballast()).unwrap();
        let full = io::copy(&mut io::repeat(1), &mut ballast).expect_err("it is small");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    /// Gives back what [`Self::fill`] took.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Who we are.
fn id(of: &str) -> String {
    let output = Command::new("id").arg(of).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
