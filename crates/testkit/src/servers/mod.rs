//! Object stores to test against: moto speaks S3, Azurite speaks Azure Blob. s3s-fs speaks S3 too, but of
//! creates that race it lets several through.
//!
//! `.ci/servers` installs them below the target folder. Where that cannot be done, tests say `NOT RUN`
//! and why.

use std::{
    env, io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The account of Azurite and its key, which are the same everywhere and no secret.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(60);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// S3.
    Moto,
    /// Azure Blob.
    Azurite,
    /// S3 with creates that are not exact, on a folder.
    S3sFs,
}

/// A server of this machine, in memory; stopped when it is dropped.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    child: Child,
    addr: SocketAddr,
    /// What it keeps, where that is in files.
    data: Option<PathBuf>,
}

impl Server {
    /// Installs it if need be, and starts it with one bucket or container.
    ///
    /// # Errors
    ///
    /// Why it cannot be had on this machine.
    pub fn start(kind: Kind) -> Result<Server, String> {
        let folder = installed(kind)?;
        let addr = free_addr().map_err(|error| error.to_string())?;
        let data = match kind {
            Kind::S3sFs => Some(make_folder(&folder, addr).map_err(|error| error.to_string())?),
            Kind::Moto | Kind::Azurite => None,
        };
        let (host, port) = (addr.ip().to_string(), addr.port().to_string());
        let mut command = match kind {
            Kind::Moto => {
                let mut command = Command::new(folder.join("moto/bin/python3"));
                command.args(["-c", include_str!("exact_moto.py")]);
                command.args(["--host", &host, "--port", &port]);
                command
            }
            Kind::Azurite => {
                let program = folder.join("azurite/node_modules/.bin/azurite-blob");
                let mut command = Command::new(program);
                command.args(["--blobHost", &host, "--blobPort", &port, "--silent"]);
                command.args([
                    "--inMemoryPersistence",
                    "--skipApiVersionCheck",
                    "--disableTelemetry",
                ]);
                command
            }
            Kind::S3sFs => {
                let mut command = Command::new(folder.join("s3s-fs/bin/s3s-fs"));
                command.args(["--access-key", "test", "--secret-key", "test"]);
                command.args(["--host", &host, "--port", &port]).args(&data);
                command
            }
        };
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = quiet
            .spawn()
            .map_err(|error| format!("{kind:?} does not start: {error}"))?;
        let mut server = Server {
            kind,
            child,
            addr,
            data,
        };
        server.wait()?;
        server.make_bucket(BUCKET)?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a prefix in its bucket, as whoever reaches the server by `addr` writes it: its own
    /// address or that of a proxy before it.
    #[must_use]
    pub fn url(&self, addr: SocketAddr, prefix: &str) -> String {
        match self.kind {
            Kind::Moto | Kind::S3sFs => {
                format!("s3://{BUCKET}/{prefix}?region=us-east-1&endpoint=http://{addr}")
            }
            Kind::Azurite => {
                format!("az://{BUCKET}/{prefix}?account={ACCOUNT}&endpoint=http://{addr}/{ACCOUNT}")
            }
        }
    }

    /// Its credentials, under the names of the provider's variables.
    #[must_use]
    pub const fn settings(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind {
            Kind::Moto | Kind::S3sFs => &[
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
            ],
            Kind::Azurite => &[("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY)],
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a server says in no other way that it listens"
    )]
    fn wait(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{:?} ended at once: {status}", self.kind));
            }
            if began.elapsed() > START_MAX {
                return Err(format!("{:?} does not listen", self.kind));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn make_bucket(&self, name: &str) -> Result<(), String> {
        let script = match self.kind {
            Kind::Moto => include_str!("create_bucket.py"),
            Kind::Azurite => include_str!("create_container.py"),
            // A folder in its folder.
            Kind::S3sFs => return Ok(()),
        };
        let url = match self.kind {
            Kind::Moto | Kind::S3sFs => format!("http://{}", self.addr),
            Kind::Azurite => format!("http://{}/{ACCOUNT}", self.addr),
        };
        let made = Command::new("python3")
            .args(["-c", script, &url, ACCOUNT, ACCOUNT_KEY, name])
            .output()
            .map_err(|error| format!("python3 does not start: {error}"))?;
        if made.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&made.stderr).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if let Some(data) = &self.data {
            remove_folder(data);
        }
    }
}

/// The bucket or container of a server.
pub const BUCKET: &str = "bucket";

/// Says that a check is not run, and why.
#[expect(clippy::print_stderr, reason = "for who reads what the tests print")]
pub fn not_run(what: &str, why: &str) {
    eprintln!("NOT RUN: {what}: {why}");
}

fn installed(kind: Kind) -> Result<PathBuf, String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| workspace.join("target"), PathBuf::from);
    let folder = target.join("servers");
    let install = Command::new(workspace.join(".ci/servers"))
        .arg(&folder)
        .args((kind == Kind::S3sFs).then_some("s3s-fs"))
        .output()
        .map_err(|error| format!(".ci/servers does not start: {error}"))?;
    if install.status.success() {
        return Ok(folder);
    }
    let said = String::from_utf8_lossy(&install.stderr);
    let last = said.lines().last().unwrap_or("it said nothing");
    Err(format!(".ci/servers failed: {last}"))
}

fn make_folder(servers: &Path, addr: SocketAddr) -> io::Result<PathBuf> {
    let data = servers.join(format!("s3s-fs/data/{}", addr.port()));
    std::fs::create_dir_all(data.join(BUCKET))?;
    Ok(data)
}

fn remove_folder(data: &Path) {
    let _left = std::fs::remove_dir_all(data);
}

fn free_addr() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}
