//! What the counting plugin wrote down, as `tests/lab/plugin/count.c` explains it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Something that happened in a domain, and what had been executed until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it was, and which: `wait -`, `hypercall 18`, `run main`.
    pub what: String,
    /// The domain's VMID.
    pub vmid: u32,
    /// The domain's own instructions since its first one.
    pub own: u64,
    /// Xen's instructions on its behalf.
    pub xen: u64,
    /// How often it executed WFI.
    pub waits: u64,
    /// How many hypercalls it made.
    pub calls: u64,
    /// All instructions of the machine.
    pub all: u64,
}

impl Event {
    /// Its own instructions and Xen's.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.own + self.xen
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let what = format!("{} {}", words.next()?, words.next()?);
        let vmid = words.next()?.parse().ok()?;
        let mut number = || words.next()?.parse().ok();
        let (own, xen, waits, calls, all) = (number()?, number()?, number()?, number()?, number()?);
        Some(Self { what, vmid, own, xen, waits, calls, all })
    }
}

/// What was executed between two events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// By the domain that started last: its own instructions.
    pub own: u64,
    /// Xen's on its behalf.
    pub xen: u64,
    /// How often it executed WFI.
    pub waits: u64,
    /// How many hypercalls it made.
    pub calls: u64,
    /// By all other domains, Xen's on their behalf included.
    pub others: u64,
    /// By the whole machine.
    pub all: u64,
}

impl Span {
    /// The domain's own instructions and Xen's.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.own + self.xen
    }
}

/// A state that is written down beside a mark, whatever the domain was doing.
const ACCOUNT: &str = "account -";

/// All events of a machine so far.
#[derive(Clone, Debug, Default)]
pub struct Counts(Vec<Event>);

impl Counts {
    /// Reads the plugin's file; a line it has only begun to write is left out.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse = |line: &str| Event::parse(line).with_context(|| format!("cannot read {line:?}"));
        Ok(Self(whole.lines().map(parse).collect::<Result<_>>()?))
    }

    /// The first event whose name begins with `what` in the domain that started last.
    #[must_use]
    pub fn first(&self, what: &str) -> Option<&Event> {
        self.domain().find(|e| e.what.starts_with(what))
    }

    /// The last WFI of that domain, if nothing of note followed it.
    #[must_use]
    pub fn idle(&self) -> Option<&Event> {
        self.domain().next_back().filter(|e| e.what == "wait -")
    }

    /// Its first WFI after `what`.
    #[must_use]
    pub fn wait_after(&self, what: &str) -> Option<&Event> {
        self.domain().skip_while(|e| e.what != what).find(|e| e.what == "wait -")
    }

    /// How often it has executed WFI.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.domain().next_back().map_or(0, |e| e.waits)
    }

    /// The state of the domain that set mark `number`, at that time.
    #[must_use]
    pub fn mark(&self, number: u32) -> Option<&Event> {
        self.mark_index(number).map(|at| &self.0[at])
    }

    /// The state of the domain that started last, when another one set mark `number`.
    #[must_use]
    pub fn at_mark(&self, number: u32) -> Option<&Event> {
        let vmid = self.domain().next()?.vmid;
        let accounts = &self.0[self.mark_index(number)? + 1..];
        accounts.iter().take_while(|e| e.what == ACCOUNT).find(|e| e.vmid == vmid)
    }

    /// What was executed from one event to another of the domain that started last; both must be such that write
    /// down every domain's state, which marks (`mark 3`) and lines (`line 3`) do.
    #[must_use]
    pub fn span(&self, from: &str, to: &str) -> Option<Span> {
        let start = self.start()?;
        let vmid = self.0[start].vmid;
        let find =
            |what: &str| Some(start + self.0[start..].iter().position(|e| e.vmid == vmid && e.what == what)?);
        self.between(find(from)?, find(to)?)
    }

    /// What was executed from mark `number`, whoever set it, and if it was before the start of the domain that started
    /// last, to an event of that domain; both must be such that write down every domain's state.
    #[must_use]
    pub fn span_from_mark(&self, number: u32, to: &str) -> Option<Span> {
        let vmid = self.0[self.start()?].vmid;
        let from = self.mark_index(number)?;
        let to = from + self.0[from..].iter().position(|e| e.vmid == vmid && e.what == to)?;
        self.between(from, to)
    }

    /// What was executed between two marks that another domain set while the one that started last was running.
    #[must_use]
    pub fn span_of_marks(&self, from: u32, to: u32) -> Option<Span> {
        let (from, to) = (self.mark_index(from)?, self.mark_index(to)?);
        if from < self.start()? {
            return None;
        }
        self.between(from, to)
    }

    /// The same where the first mark was set before that domain started.
    #[must_use]
    pub fn span_of_birth(&self, from: u32, to: u32) -> Option<Span> {
        let (from, to) = (self.mark_index(from)?, self.mark_index(to)?);
        if from >= self.start()? {
            return None;
        }
        self.between(from, to)
    }

    /// What was executed between two events after which there is the state of each domain.
    fn between(&self, from: usize, to: usize) -> Option<Span> {
        let start = self.start()?;
        let vmid = self.0[start].vmid;
        let accounts = |at: usize| self.0[at + 1..].iter().take_while(|e| e.what == ACCOUNT);
        let others = |at: usize| accounts(at).filter(|e| e.vmid != vmid).map(Event::total).sum::<u64>();
        // What stands there of an earlier domain with the same number does not count.
        let before = accounts(from).find(|e| e.vmid == vmid && from > start);
        if before.is_none() && from >= start {
            return None;
        }
        let after = accounts(to).find(|e| e.vmid == vmid)?;
        let since = |count: fn(&Event) -> u64| count(after).checked_sub(before.map_or(0, count));
        Some(Span {
            own: since(|e| e.own)?,
            xen: since(|e| e.xen)?,
            waits: since(|e| e.waits)?,
            calls: since(|e| e.calls)?,
            others: others(to).checked_sub(others(from))?,
            all: self.0[to].all.checked_sub(self.0[from].all)?,
        })
    }

    /// Where the domain started that started last.
    fn start(&self) -> Option<usize> {
        self.0.iter().rposition(|e| e.what == "start -")
    }

    fn mark_index(&self, number: u32) -> Option<usize> {
        let mark = format!("mark {number}");
        self.0.iter().rposition(|e| e.what == mark)
    }

    /// The events of the domain that started last.
    fn domain(&self) -> impl DoubleEndedIterator<Item = &Event> {
        let events = self.start().map_or(&[][..], |at| &self.0[at..]);
        let vmid = events.first().map_or(0, |e| e.vmid);
        events.iter().filter(move |e| e.vmid == vmid && e.what != ACCOUNT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
start - 1 0 0 0 0 100
wait - 1 7 7 1 0 120
start - 2 0 0 0 0 200
hypercall 18 2 13 0 0 0 213
wait - 1 9 9 2 0 240
wait - 2 50 20 1 0 290
mark 1 1 20 20 2 0 300
account - 1 20 20 2 0 300
account - 2 50 21 1 0 300
wait - 2 60 2";

    fn first_lines(lines: usize) -> Counts {
        let text: String = TEXT.split_inclusive('\n').take(lines).collect();
        Counts::parse(&text).unwrap()
    }

    #[test]
    fn finds_the_events_of_the_latest_domain() {
        let counts = Counts::parse(TEXT).unwrap();
        assert_eq!(counts.first("hypercall").unwrap().own, 13);
        assert_eq!(counts.first("wait").unwrap().total(), 70, "not the other domain's wait");
        assert_eq!(counts.first("run main"), None);
        assert_eq!(counts.wait_after("hypercall 18").unwrap().own, 50);
        assert_eq!(counts.wait_after("syscall 64"), None);
    }

    #[test]
    fn a_domain_is_idle_while_its_last_event_is_a_wait() {
        assert_eq!((first_lines(4).idle(), first_lines(4).waits()), (None, 0));
        for lines in [6, 10] {
            assert_eq!(first_lines(lines).idle().unwrap().xen, 20);
            assert_eq!(first_lines(lines).waits(), 1);
        }
    }

    #[test]
    fn a_mark_shows_every_domain() {
        let counts = Counts::parse(TEXT).unwrap();
        assert_eq!(counts.mark(1).unwrap().own, 20);
        assert_eq!(counts.at_mark(1).unwrap().xen, 21);
        assert_eq!(counts.at_mark(2), None);
    }

    #[test]
    fn a_span_lies_between_two_events_of_the_latest_domain() {
        let text = "\
start - 1 0 0 0 0 100
line 1 1 5 5 0 0 120
account - 1 5 5 0 0 120
start - 2 0 0 0 0 200
line 1 2 10 20 1 0 1000
account - 1 100 100 5 0 1000
account - 2 10 20 1 0 1000
line 2 2 40 60 3 0 2000
account - 1 500 110 9 0 2000
account - 2 40 60 3 0 2000
";
        let counts = Counts::parse(text).unwrap();
        let span = counts.span("line 1", "line 2").unwrap();
        assert_eq!(span, Span { own: 30, xen: 40, waits: 2, calls: 0, others: 410, all: 1000 });
        assert_eq!(span.total(), 70);
        assert_eq!(counts.span("line 2", "line 1"), None);
        assert_eq!(counts.span("line 1", "line 3"), None);
        assert_eq!(counts.span("start -", "line 2"), None);
    }

    #[test]
    fn a_span_may_begin_at_a_mark_of_another_domain() {
        let text = "\
start - 2 0 0 0 0 10
mark 1 1 100 100 5 0 1000
account - 1 100 100 5 0 1000
account - 2 7 7 7 0 1000
start - 2 0 0 0 0 1100
mark 2 1 200 200 5 0 1200
account - 1 200 200 5 0 1200
account - 2 30 10 1 0 1200
line 1 2 40 60 3 0 2000
account - 1 500 110 9 0 2000
account - 2 40 60 3 0 2000
";
        let counts = Counts::parse(text).unwrap();
        let span = counts.span_from_mark(1, "line 1").unwrap();
        assert_eq!(span, Span { own: 40, xen: 60, waits: 3, calls: 0, others: 410, all: 1000 });
        let span = counts.span_from_mark(2, "line 1").unwrap();
        assert_eq!(span, Span { own: 10, xen: 50, waits: 2, calls: 0, others: 210, all: 800 });
        assert_eq!(counts.span_from_mark(3, "line 1").or_else(|| counts.span_from_mark(1, "line 2")), None);
    }

    #[test]
    fn a_span_may_lie_between_marks_of_another_domain() {
        let text = "\
mark 1 1 50 50 5 5 500
account - 1 50 50 5 5 500
start - 2 0 0 0 0 1100
mark 2 1 200 200 5 5 1200
account - 1 200 200 5 5 1200
account - 2 30 10 1 4 1200
mark 3 1 250 210 5 5 1300
account - 1 250 210 5 5 1300
account - 2 50 15 2 7 1300
";
        let counts = Counts::parse(text).unwrap();
        let span = counts.span_of_marks(2, 3).unwrap();
        assert_eq!(span, Span { own: 20, xen: 5, waits: 1, calls: 3, others: 60, all: 100 });
        assert_eq!(counts.span_of_marks(1, 3), None, "it was not there yet");
        let span = counts.span_of_birth(1, 3).unwrap();
        assert_eq!(span, Span { own: 50, xen: 15, waits: 2, calls: 7, others: 360, all: 800 });
        assert_eq!(counts.span_of_birth(2, 3), None, "it was there already");
        assert_eq!(counts.span_of_marks(2, 4), None);
    }

    #[test]
    fn nonsense_is_an_error_and_nothing_is_nothing() {
        assert!(Counts::parse("wait - 1 2\n").is_err());
        assert_eq!(Counts::parse("").unwrap().idle(), None);
    }
}
