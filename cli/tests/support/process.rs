//! `tercet serve` as a process of its own, which tests kill and start again.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// What opens the admin routes.
pub(crate) const ADMIN: &str = "the-admin-token-of-the-tests";

/// A step that takes longer than this has hung.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A server over a directory of its own. It does not outlive the test.
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl ServerProcess {
    /// Starts it on a free port.
    pub(crate) fn start() -> ServerProcess {
        let directory = tempfile::tempdir().unwrap();
        let (child, address) = launch(directory.path(), "127.0.0.1:0");
        ServerProcess { child, address, directory }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it as `kill -9` does, and waits until it has gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after a kill, with the same data on the same port.
    pub(crate) fn restart(&mut self) {
        let (child, address) = launch(self.directory.path(), &self.address.to_string());
        assert_eq!(address, self.address);
        self.child = child;
    }

    /// Checks that it runs and that nothing in it panicked: a task that panics does not end the
    /// process.
    #[track_caller]
    pub(crate) fn check_sound(&mut self) {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap();
        assert!(!log.contains("panicked"), "{log}");
        assert_eq!(self.child.try_wait().unwrap(), None, "the server has ended\n{log}");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server and reads its address from the line that it prints when it listens.
fn launch(directory: &Path, listen: &str) -> (Child, SocketAddr) {
    let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tercet"))
        .args(["serve", "--listen", listen, "--data"])
        .arg(directory.join("data"))
        .env("TERCET_ADMIN_TOKEN", ADMIN)
        .env_remove("TERCET_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            // Who has read the address reads no more.
            let _ = sender.send(line);
        }
    });
    let line = receiver.recv_timeout(LIMIT).unwrap();
    let address = line.strip_prefix("listening on http://").unwrap();
    (child, address.parse().unwrap())
}
