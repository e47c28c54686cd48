//! Every kind of job on a simulated Xen.

use embedded_io_async::{ErrorType, Read, Write};
use fata_sim::{Backend, SimCpu, World, Xenstored};
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use xen_hyp::{Access, Channel, DomId, PAGE_SIZE, Pages, Port, Seen, Xen};

/// A console that keeps what is written.
#[derive(Default)]
struct Paper(Vec<u8>);

impl ErrorType for &mut Paper {
    type Error = Infallible;
}

impl Read for &mut Paper {
    async fn read(&mut self, _: &mut [u8]) -> Result<usize, Infallible> {
        Ok(0)
    }
}

impl Write for &mut Paper {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Another guest, which answers each event with one, the first of which connecting gives it.
struct Echo {
    xen: Rc<Xen<SimCpu>>,
    server: Rc<Xenstored>,
    channel: RefCell<Option<(Channel<SimCpu>, Seen)>>,
    answered: std::cell::Cell<u64>,
}

impl Backend for Echo {
    fn turn(&self) -> bool {
        self.xen.demux();
        let mut channel = self.channel.borrow_mut();
        let Some((channel, seen)) = &mut *channel else {
            let Some(port) = self.server.read("/local/domain/1/data/port") else { return false };
            let port = String::from_utf8(port).unwrap().parse().unwrap();
            let bound = self.xen.connect(DomId(1), Port(port)).unwrap();
            bound.notify();
            let seen = bound.seen();
            *channel = Some((bound, seen));
            return true;
        };
        let before = std::mem::replace(seen, channel.seen());
        if before == *seen {
            return false;
        }
        channel.notify();
        self.answered.set(self.answered.get() + 1);
        true
    }
}

/// What it wrote, and how many events were answered.
fn run(cmdline: &str) -> (String, u64) {
    let world = World::new();
    let server = Xenstored::start(&world);
    let xen = world.guest();
    let echo = Echo { xen: world.guest(), server, channel: RefCell::default(), answered: 0.into() };
    let echo = Rc::new(echo);
    let backend: Rc<dyn Backend> = echo.clone();
    world.add_backend(Rc::downgrade(&backend));
    let mut paper = Paper::default();
    fata_rt::run(&xen, async |rt| base_bench::app(rt, xen.clone(), &mut paper, cmdline).await).unwrap();
    echo.channel.take();
    drop(xen);
    world.assert_cleaned_up();
    (String::from_utf8(paper.0).unwrap(), echo.answered.get())
}

#[test]
fn each_kind_of_job_is_done_as_often_as_it_says() {
    // Not last what leaves a watch, since then nobody would be there to take it back.
    let kinds = ["event", "watch", "read", "read16", "transaction", "write"];
    let jobs = kinds.map(|kind| format!("{kind},20"));
    let (said, answered) = run(&format!("peer=2 bench={}", jobs.join(";")));
    let lines: Vec<_> = said.lines().map(str::trim_end).collect();
    assert_eq!(lines.len(), kinds.len() + 2, "{said}");
    assert_eq!((lines[0], lines[7]), ("base ready", "SUCCESS"));
    for (kind, line) in kinds.iter().zip(&lines[1..]) {
        assert!(line.starts_with(&format!("base {kind} total 20 ns ")), "{line}");
    }
    assert_eq!(answered, 20);
}

/// Pages as `fata-peer lend` fills them, the last for reading only; and what is in them afterwards.
fn lend(spoil: Option<usize>) -> (String, Vec<Vec<u8>>) {
    let world = World::new();
    let server = Xenstored::start(&world);
    let (xen, lender) = (world.guest(), world.guest());
    let mut lent = Vec::new();
    for page in 0..3 {
        let mut pages = Pages::new(1).unwrap();
        for n in 0..PAGE_SIZE / 4 {
            let word = (1 << 24 | (page * PAGE_SIZE / 4 + n) as u32).wrapping_mul(0x9e37_79b1);
            pages[4 * n..4 * n + 4].copy_from_slice(&word.to_le_bytes());
        }
        if let Some(at) = spoil.filter(|at| at / PAGE_SIZE == page) {
            pages[at % PAGE_SIZE] ^= 1;
        }
        let access = if page == 2 { Access::Read } else { Access::Write };
        lent.push(pages.grant(&lender, DomId(1), access).unwrap());
    }
    let names: Vec<_> = lent.iter().map(|granted| granted.gref().0.to_string()).collect();
    server.write("/local/domain/1/data/lent", names.join(" "));
    let mut paper = Paper::default();
    let args = "peer=2 lent=1 bench=read,1";
    fata_rt::run(&xen, async |rt| base_bench::app(rt, xen.clone(), &mut paper, args).await).unwrap();
    let left = lent.into_iter().map(|granted| granted.revoke().expect("nothing stays mapped").to_vec());
    (String::from_utf8(paper.0).unwrap(), left.collect())
}

#[test]
fn pages_that_are_lent_are_mapped_written_and_copied() {
    let (said, pages) = lend(None);
    assert!(said.starts_with("base lent 2 pages\r\n") && said.ends_with("SUCCESS\r\n"), "{said:?}");
    let word = |page: usize, n: usize| u32::from_le_bytes(pages[page][4 * n..4 * n + 4].try_into().unwrap());
    let should = |writer: u32, n: u32| (writer << 24 | n).wrapping_mul(0x9e37_79b1);
    assert_eq!([word(0, 0), word(0, 255), word(0, 256)], [should(2, 0), should(2, 255), should(3, 256)]);
    assert_eq!(
        [word(1, 511), word(1, 512), word(1, 1023)],
        [should(3, 1535), should(1, 1536), should(1, 2047)]
    );
    assert_eq!([word(0, 1023), word(2, 0)], [0xd07e, should(1, 2048)]);
}

#[test]
fn a_byte_that_is_not_what_was_lent_is_found() {
    for at in [5, PAGE_SIZE - 1, 2 * PAGE_SIZE - 1, 2 * PAGE_SIZE + 9] {
        let (said, _) = lend(Some(at));
        assert!(said.starts_with("FAILURE: ") && said.contains(&format!("byte {} ", at / 4 * 4)), "{said}");
    }
}

#[test]
fn nonsense_is_named() {
    assert_eq!(run("bench=sleep,1").0.trim_end(), "FAILURE: the command line makes no sense at \"bench\"");
    assert_eq!(run("what").0.trim_end(), "FAILURE: the command line makes no sense at \"what\"");
}
