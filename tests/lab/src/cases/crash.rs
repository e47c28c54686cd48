//! Crashes on purpose: the report, its backtrace, and that the toolstack sees a crash.

use anyhow::{Result, ensure};

use super::{Case, Context, GUEST, Spot, Wish, must_say};
use crate::backtrace::{Annotator, Symboliser};
use crate::guest::End;

/// A way to crash, and what the report must say.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Of the reason.
    says: &'static [&'static str],
    /// Whether a CPU exception was it, so that there are registers.
    registers: bool,
    /// Functions the backtrace must name.
    callers: &'static [&'static str],
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "panic",
        says: &["panic at ", "crash.rs", "asked for with `crash panic`"],
        registers: false,
        callers: &["mir_console::crash::Crash::happen"],
    },
    Kind {
        name: "double",
        says: &["and while saying so: panic at ", "asked for with `crash double`"],
        registers: false,
        callers: &[],
    },
    Kind {
        name: "stack",
        says: &["data abort, not mapped", "on a write", "stack overflow: the guard page"],
        registers: true,
        callers: &["fault::overflow_stack", "fault::overflow_stack", "fault::overflow_stack"],
    },
    NULL,
    Kind {
        name: "text",
        says: &["data abort, not permitted", "on a write", "(our instructions)"],
        registers: true,
        callers: &["fault::write_to_text", "mir_console::app::App<P,C>::command"],
    },
    Kind {
        name: "exec",
        says: &["instruction abort, not permitted", "(our data)"],
        registers: true,
        callers: &["fault::execute_data", "mir_console::app::App<P,C>::command"],
    },
    Kind {
        name: "oom",
        says: &["memory allocation of 65536 bytes failed"],
        registers: false,
        callers: &["mir_console::crash::exhaust"],
    },
];

pub(super) const NULL: Kind = Kind {
    name: "null",
    says: &["data abort, not mapped", "on a read, at 0x0 (null page)"],
    registers: true,
    callers: &["fault::null", "mir_console::app::App<P,C>::command"],
};

pub(super) fn add(cases: &mut Vec<Case>) {
    for spot in [Spot::DOM0LESS, Spot::XL] {
        for kind in &KINDS {
            cases.push(Case::new(spot, &format!("crash-{}", kind.name), move |ctx| crash(ctx, spot, kind)));
        }
    }
}

/// Catches: a fault that goes unnoticed, a report that hangs, is cut short or lacks what one needs to find the
/// reason, a backtrace through the wrong functions, and an end that the toolstack does not see as a crash.
fn crash(ctx: &Context<'_>, spot: Spot, kind: &Kind) -> Result<()> {
    let running = ctx.start(spot, &Wish::args("quiet"))?;
    ctx.prompt(&running.guest)?;
    running.guest.console.send(format!("crash {}\r", kind.name))?;
    ctx.end(&running.guest, End::Crash)?;
    check(ctx, kind, &running.everything(ctx.left())?)?;
    if let Some(dom0) = &running.dom0 {
        // `xl list` ends a row with the state and the time used.
        let list = dom0.sh(&format!("xl list {GUEST}"))?;
        let state =
            list.lines().last().and_then(|line| line.split_whitespace().rev().nth(1)).unwrap_or_default();
        ensure!(state.contains('c'), "xl does not call it crashed:\n{list}");
    }
    Ok(())
}

/// Fails unless what the guest wrote has a report of this crash, with what one needs to find the reason.
pub(super) fn check(ctx: &Context<'_>, kind: &Kind, text: &str) -> Result<()> {
    let (_, report) = text.split_once("*** Fata stops: ").unwrap_or_default();
    ensure!(!report.is_empty(), "there is no report:\n{text}");
    for part in kind.says {
        must_say(report, part)?;
    }
    if kind.registers {
        for part in ["ELR 0x", "ESR 0x", "FAR 0x", "SPSR 0x", " x0 ", " x29 ", " x30 "] {
            must_say(report, part)?;
        }
    }
    let symbols = Symboliser::open(&ctx.built.elf)?;
    let named = Annotator::new(|at| symbols.names(at)).feed(report.as_bytes());
    let named = String::from_utf8_lossy(&named);
    let frames: Vec<_> = named.lines().skip_while(|line| !line.contains("bt #00")).collect();
    let mut rest = frames.iter();
    for caller in kind.callers {
        ensure!(
            rest.any(|line| line.contains(caller)),
            "the backtrace does not lead through {:?}, in this order:\n{named}",
            kind.callers
        );
    }
    Ok(())
}
