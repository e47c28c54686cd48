//! NSD on this machine, on a port that nobody else has.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use fata_dns::Transport;

use super::zone::NAME;
use crate::machine::Folder;
use crate::tools::Tools;

/// How long to wait for no answer.
const SILENCE: Duration = Duration::from_millis(200);

/// Its configuration, at an address and with its files in a directory, the zone among them. The same as ours where there is
/// a choice.
pub(super) fn config(address: &str, directory: &str) -> String {
    format!(
        "server:\n  ip-address: {address}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{directory}\"\n  \
         pidfile: \"{directory}/nsd.pid\"\n  xfrdfile: \"\"\n  zonelistfile: \"{directory}/nsd.list\"\n  \
         server-count: 1\n  minimal-responses: yes\n  refuse-any: no\n  rrl-ratelimit: 0\n  \
         hide-version: yes\n  hide-identity: yes\n  ipv4-edns-size: 1232\n  round-robin: no\n  \
         tcp-query-count: 0\nremote-control:\n  control-enable: no\n\
         zone:\n  name: \"{NAME}\"\n  zonefile: \"zone\"\n"
    )
}

pub(super) struct Nsd {
    child: Child,
    address: SocketAddr,
    socket: UdpSocket,
}

impl Nsd {
    /// Starts it with the zone that is in the folder, and waits until it answers.
    pub(super) fn start(tools: &Tools, folder: &Folder, patience: Duration) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = config(&format!("127.0.0.1@{}", address.port()), &folder.path.display().to_string());
        fs::write(folder.file("nsd.conf"), config)?;
        let log = File::create(folder.file("nsd.log"))?;
        let mut command = tools.command("nsd")?;
        command.arg("-d").arg("-c").arg(folder.file("nsd.conf"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("starting NSD")?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(address)?;
        let mut nsd = Self { child, address, socket };
        let began = Instant::now();
        let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend_from_slice(b"\x03lab\x07example\0\0\x06\0\x01");
        loop {
            if let Some(status) = nsd.child.try_wait()? {
                bail!("NSD ends with {status}: {}", fs::read_to_string(folder.file("nsd.log"))?);
            }
            // Until there is somebody, the port is refused.
            if nsd.ask_udp(&query, SILENCE).is_ok_and(|answer| answer.is_some_and(|answer| answer[7] == 1)) {
                return Ok(nsd);
            }
            if began.elapsed() > patience {
                bail!("NSD does not answer: {}", fs::read_to_string(folder.file("nsd.log"))?);
            }
        }
    }

    /// Its answer. `silent` says that there may be none.
    pub(super) fn ask(&self, query: &[u8], transport: Transport, silent: bool) -> Result<Option<Vec<u8>>> {
        let patience = if silent { SILENCE } else { Duration::from_secs(5) };
        match transport {
            Transport::Udp => self.ask_udp(query, patience),
            Transport::Tcp => self.ask_tcp(query, patience),
        }
    }

    fn ask_udp(&self, query: &[u8], patience: Duration) -> Result<Option<Vec<u8>>> {
        self.socket.set_read_timeout(Some(patience))?;
        self.socket.send(query)?;
        let mut answer = vec![0; 65_536];
        loop {
            match self.socket.recv(&mut answer) {
                // What comes late is the answer to an earlier one.
                Ok(_) if answer[..2] != query[..query.len().min(2)] => {}
                Ok(len) => {
                    answer.truncate(len);
                    return Ok(Some(answer));
                }
                Err(error) if is_late(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ask_tcp(&self, query: &[u8], patience: Duration) -> Result<Option<Vec<u8>>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat())?;
        let mut len = [0; 2];
        let mut answer = Vec::new();
        let result = stream.read_exact(&mut len).and_then(|()| {
            answer.resize(usize::from(u16::from_be_bytes(len)), 0);
            stream.read_exact(&mut answer)
        });
        // It hangs up on what it does not answer.
        match result {
            Ok(()) => Ok(Some(answer)),
            Err(error) if is_late(&error) || error.kind() != std::io::ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // It stops its children only if it is asked to.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
