//! Drives a machine under test over the network, Linux or Fata alike, and measures what that takes.

use core::ffi::CStr;
use core::fmt::Write as _;
use core::net::IpAddr;
use core::sync::atomic::Ordering;

use fata_peer::net::{self, Command, Job, Kind, LARGEST, pattern};

use crate::serve::Line;
use crate::socket::{Address, Socket};
use crate::sys::{self, Failed, File, Out};
use crate::web::{self, Client};
use crate::{FIRST_MARK, fail};

/// The end of a stream without a length.
const ENOUGH: &CStr = c"/tmp/enough";
/// Or a stream would take its time to end.
const UNDER_WAY: u32 = 256 << 10;
/// What came and was not fetched yet.
const ROOM: u32 = 32 << 20;
/// A packet that takes so long was lost.
const LOST_MS: u64 = 1000;
/// A stream that stands still for so long has failed.
const STUCK_MS: u64 = 60_000;
/// How often a count is asked for when it is still short, and how long to wait before.
const LOOKS: u32 = 5;
const LOOK_MS: u64 = 20;
/// How often it is looked whether a machine is there.
pub(crate) const AWAIT_MS: u64 = 5;
/// Of an echo request or reply, ICMP's own.
const ICMP_HEADER: usize = 8;

/// Does some jobs, each between two marks, and says how many packets or bytes came through.
pub(crate) fn run(target: IpAddr, jobs: &str) -> Result<(), Failed> {
    for (n, text) in jobs.split(';').enumerate() {
        let job = Job::parse(text).unwrap_or_else(|| fail(format_args!("what is {text:?}?")));
        let load = Load { target, job, mark: FIRST_MARK + 2 * n };
        match job.kind {
            Kind::UdpIn => load.udp_in(),
            Kind::UdpOut => load.udp_out(),
            Kind::UdpEcho => load.udp_echo(),
            Kind::Ping => load.ping(),
            Kind::TcpIn => load.tcp_in(),
            Kind::TcpOut => load.tcp_out(),
            Kind::TcpEcho => load.tcp_echo(),
            Kind::Http => load.http(false, net::HTTP_PAGE),
            Kind::HttpFile => load.http(false, net::HTTP_FILE),
            Kind::HttpEach => load.http(true, net::HTTP_PAGE),
            Kind::DnsUdp | Kind::DnsNothing => load.names_by_datagrams(),
            Kind::DnsTcp => load.names_by_a_stream(),
        }?;
    }
    let _ = writeln!(Out, "SUCCESS");
    Ok(())
}

pub(crate) struct Load {
    target: IpAddr,
    pub(crate) job: Job,
    mark: usize,
}

impl Load {
    /// Does what counts; it says how much came through.
    pub(crate) fn measure(&self, work: impl FnOnce() -> Result<u64, Failed>) -> Result<(), Failed> {
        sys::is_process(self.mark);
        let start_ns = sys::now_ns()?;
        let through = work()?;
        let ns = sys::now_ns()? - start_ns;
        sys::is_process(self.mark + 1);
        let _ = writeln!(Out, "{} through {through} ns {ns}", self.job);
        Ok(())
    }

    pub(crate) fn udp(&self, port: u16) -> Result<Socket, Failed> {
        let socket = Socket::udp(self.target)?;
        socket.room(ROOM)?;
        socket.patience(LOST_MS)?;
        socket.connect(&Address::new(self.target, port))?;
        Ok(socket)
    }

    /// Requests by rounds: one on each connection, and then all the answers.
    fn http(&self, each: bool, length: usize) -> Result<(), Failed> {
        let Self { target, job, .. } = *self;
        let mut clients: [Option<Client>; web::MOST] = [const { None }; web::MOST];
        let Some(clients) = clients.get_mut(..job.size) else {
            fail(format_args!("at most {} at a time", web::MOST))
        };
        if !each {
            for place in clients.iter_mut() {
                *place = Some(Client::open(target)?);
            }
        }
        self.measure(|| {
            let mut through = 0;
            while through < job.count {
                let round = clients.len().min((job.count - through) as usize);
                for place in &mut clients[..round] {
                    if each {
                        *place = Some(Client::open(target)?);
                    }
                    place.as_ref().map_or(Ok(()), |client| client.ask(each, length))?;
                }
                for place in &mut clients[..round] {
                    place.as_ref().map_or(Ok(()), |client| client.hear(each, length))?;
                    if each {
                        *place = None;
                    }
                }
                through += round as u64;
            }
            Ok(through)
        })
    }

    fn udp_in(&self) -> Result<(), Failed> {
        let (sink, count) = (self.udp(net::UDP_SINK)?, self.udp(net::UDP_COUNT)?);
        let bytes = [0; LARGEST];
        counted(&count)?;
        self.measure(|| {
            for _ in 0..self.job.count {
                sink.send(&bytes[..self.job.size])?;
            }
            let (mut through, mut looks) = (0, 0);
            while through < self.job.count && looks < LOOKS {
                if looks > 0 {
                    sys::sleep_ms(LOOK_MS)?;
                }
                let more = counted(&count)?;
                through += more;
                looks = if more == 0 { looks + 1 } else { 1 };
            }
            Ok(through)
        })
    }

    fn udp_out(&self) -> Result<(), Failed> {
        let socket = Socket::udp(self.target)?;
        socket.room(ROOM)?;
        socket.patience(LOST_MS)?;
        let mut line = Line::new();
        line.print(format_args!("{} {}", self.job.count, self.job.size));
        let mut bytes = [0; LARGEST];
        self.measure(|| {
            socket.send_to(line.text(), &Address::new(self.target, net::UDP_SOURCE))?;
            let mut through = 0;
            while through < self.job.count {
                match socket.receive(&mut bytes)? {
                    Some(length) if length == self.job.size => through += 1,
                    Some(length) => fail(format_args!("a datagram of {length} bytes")),
                    None => break,
                }
            }
            Ok(through)
        })
    }

    fn udp_echo(&self) -> Result<(), Failed> {
        let socket = self.udp(net::UDP_ECHO)?;
        let (mut bytes, mut back) = ([0; LARGEST], [0; LARGEST]);
        let bytes = &mut bytes[..self.job.size];
        self.measure(|| {
            let mut through = 0;
            for n in 0..self.job.count {
                number(bytes, n);
                socket.send(bytes)?;
                match socket.receive(&mut back)? {
                    Some(length) if back[..length] == *bytes => through += 1,
                    // One that was thought to be lost.
                    Some(_) => {}
                    None => {}
                }
            }
            Ok(through)
        })
    }

    fn ping(&self) -> Result<(), Failed> {
        let socket = Socket::ping(self.target)?;
        socket.room(ROOM)?;
        socket.patience(LOST_MS)?;
        socket.connect(&Address::new(self.target, 0))?;
        let (mut request, mut reply) = ([0; LARGEST + ICMP_HEADER], [0; LARGEST + ICMP_HEADER]);
        let request = &mut request[..self.job.size + ICMP_HEADER];
        request[..ICMP_HEADER].copy_from_slice(&echo_request(self.target));
        pattern(0, &mut request[ICMP_HEADER..]);
        self.measure(|| {
            let mut through = 0;
            for n in 0..self.job.count {
                request[6..8].copy_from_slice(&(n as u16).to_be_bytes());
                socket.send(request)?;
                // What came late is not what is waited for.
                while let Some(length) = socket.receive(&mut reply)? {
                    if reply[..length].get(6..) == Some(&request[6..]) {
                        through += 1;
                        break;
                    }
                    if length != request.len() || reply[8..length] != request[8..] {
                        fail(format_args!("a reply of {length} bytes that were not sent"));
                    }
                }
            }
            Ok(through)
        })
    }

    pub(crate) fn tcp(&self, port: u16) -> Result<Socket, Failed> {
        connect(self.target, port)
    }

    fn stream(&self, command: &Command) -> Result<Socket, Failed> {
        let stream = self.tcp(net::TCP)?;
        let mut line = Line::new();
        line.print(format_args!("{command}"));
        stream.send_all(line.text())?;
        Ok(stream)
    }

    fn tcp_in(&self) -> Result<(), Failed> {
        let bytes = [0; LARGEST];
        let stream = self.stream(&Command::Receive(self.job.bytes()))?;
        self.measure(|| {
            for _ in 0..self.job.count {
                stream.send_all(&bytes[..self.job.size])?;
            }
            match stream.receive(&mut [0; 1])? {
                Some(1) => Ok(self.job.bytes()),
                _ => fail(format_args!("{}: no answer", self.job)),
            }
        })
    }

    fn tcp_out(&self) -> Result<(), Failed> {
        let mut bytes = [0; LARGEST];
        let mut through = 0;
        let stream = self.tcp(net::TCP)?;
        self.measure(|| {
            let mut line = Line::new();
            line.print(format_args!("{}", Command::Send(self.job.bytes(), self.job.size)));
            stream.send_all(line.text())?;
            while through < self.job.bytes() {
                match stream.receive(&mut bytes)? {
                    Some(more @ 1..) => through += more as u64,
                    _ => fail(format_args!("{}: the end after {through} bytes", self.job)),
                }
            }
            stream.send_all(b"k")?;
            Ok(through)
        })
    }

    fn tcp_echo(&self) -> Result<(), Failed> {
        let (mut bytes, mut back) = ([0; LARGEST], [0; LARGEST]);
        let bytes = &mut bytes[..self.job.size];
        let stream = self.stream(&Command::Echo)?;
        stream.no_delay()?;
        self.measure(|| {
            for n in 0..self.job.count {
                number(bytes, n);
                stream.send_all(bytes)?;
                let mut had = 0;
                while had < bytes.len() {
                    match stream.receive(&mut back[had..bytes.len()])? {
                        Some(more @ 1..) => had += more,
                        _ => fail(format_args!("{}: no answer", self.job)),
                    }
                }
                if back[..had] != *bytes {
                    fail(format_args!("{}: other bytes came back", self.job));
                }
            }
            Ok(self.job.bytes())
        })
    }
}

/// Sends so many bytes of a pattern, while what comes back is compared with them; with none, until there is a file
/// [`ENOUGH`].
pub(crate) fn verify(target: IpAddr, count: u64) -> Result<(), Failed> {
    let stream = connect(target, net::TCP)?;
    stream.little(UNDER_WAY)?;
    stream.send_all(b"E\n")?;
    let [sent, ..] = sys::shared()?;
    let mut bytes = [0; LARGEST];
    if sys::fork()? {
        let mut at = 0;
        while if count == 0 { File::open_to_read(ENOUGH).is_err() } else { at < count } {
            let length = if count == 0 { LARGEST } else { (count - at).min(LARGEST as u64) as usize };
            pattern(at, &mut bytes[..length]);
            stream.send_all(&bytes[..length])?;
            at += length as u64;
        }
        sent.store(at, Ordering::Release);
        stream.finish()?;
        sys::exit(0);
    }
    let (mut had, mut should) = (0, [0; LARGEST]);
    loop {
        match stream.receive(&mut bytes)? {
            Some(0) if had == sent.load(Ordering::Acquire) => break,
            Some(more @ 1..) => {
                pattern(had, &mut should[..more]);
                if bytes[..more] != should[..more] {
                    fail(format_args!("other bytes came back in the {more} after {had}"));
                }
                had += more as u64;
            }
            Some(_) => fail(format_args!("only {had} bytes came back")),
            None => fail(format_args!("nothing came back after {had} bytes")),
        }
    }
    sys::wait()?;
    let _ = writeln!(Out, "SUCCESS: {had} bytes there and back");
    Ok(())
}

/// Asks for an echo until one comes, sets the first mark, and says how long that took.
pub(crate) fn await_answer(target: IpAddr, limit_ms: u64) -> Result<(), Failed> {
    let socket = Socket::ping(target)?;
    socket.connect(&Address::new(target, 0))?;
    await_any(&socket, &echo_request(target), limit_ms, |_| true)
}

/// Sends this until there is an answer as it should be, sets the first mark, and says how long that took.
pub(crate) fn await_any(
    socket: &Socket,
    request: &[u8],
    limit_ms: u64,
    is_right: impl Fn(&[u8]) -> bool,
) -> Result<(), Failed> {
    socket.patience(AWAIT_MS)?;
    let mut bytes = [0; LARGEST];
    await_until(limit_ms, || {
        // While nobody is there, either may fail, and at once.
        let len = socket.send(request).and_then(|_| socket.receive(&mut bytes))?;
        Ok(len.map(|len| is_right(&bytes[..len])))
    })
}

/// The same in any way: what is tried takes [`AWAIT_MS`] if nothing comes of it.
pub(crate) fn await_until(
    limit_ms: u64,
    mut attempt: impl FnMut() -> Result<Option<bool>, Failed>,
) -> Result<(), Failed> {
    let start_ns = sys::now_ns()?;
    loop {
        let answer = attempt();
        let ns = sys::now_ns()? - start_ns;
        match answer {
            Ok(Some(true)) => {
                sys::is_process(FIRST_MARK);
                let _ = writeln!(Out, "net answer after ns {ns}");
                return Ok(());
            }
            _ if ns > limit_ms * 1_000_000 => fail(format_args!("no answer in all this time")),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => sys::sleep_ms(AWAIT_MS)?,
        }
    }
}

/// RFC 792 and RFC 4443. Linux fills in the sum and the identifier.
fn echo_request(target: IpAddr) -> [u8; ICMP_HEADER] {
    let mut request = [0; ICMP_HEADER];
    request[0] = if target.is_ipv4() { 8 } else { 128 };
    request
}

fn connect(target: IpAddr, port: u16) -> Result<Socket, Failed> {
    let stream = Socket::tcp(target)?;
    stream.patience(STUCK_MS)?;
    stream.connect(&Address::new(target, port))?;
    Ok(stream)
}

/// How many datagrams the sink has counted since it was asked last.
fn counted(socket: &Socket) -> Result<u64, Failed> {
    let mut line = [0; 64];
    for _ in 0..LOOKS {
        socket.send(b"?")?;
        if let Some(length) = socket.receive(&mut line)? {
            let text = core::str::from_utf8(&line[..length]).unwrap_or("");
            let count = text.split(' ').next().and_then(|word| word.parse().ok());
            return Ok(count.unwrap_or_else(|| fail(format_args!("{text:?} is no count"))));
        }
    }
    fail(format_args!("the sink does not say what it counted"))
}

/// Makes one packet differ from the next.
fn number(bytes: &mut [u8], n: u64) {
    for (to, from) in bytes.iter_mut().zip(n.to_le_bytes()) {
        *to = from;
    }
}
