//! What the run time kept: of a guest that runs, of one that crashed, and of a disk at work.

use anyhow::{Context as _, Result, ensure};
use fata_trace::{Kind, TaskState};

use super::{Case, Context, GUEST, Spot, Wish, must_say};
use crate::disk::DiskWish;
use crate::guest::End;
use crate::trace::{Names, Trace, chrome, timeline};

pub(super) fn add(cases: &mut Vec<Case>) {
    let console = "mir-console+trace";
    cases.push(Case { image: console, ..Case::new(Spot::DOM0LESS, "trace-running", running) });
    for spot in [Spot::DOM0LESS, Spot::XL] {
        cases
            .push(Case { image: console, ..Case::new(spot, "trace-crashed", move |ctx| crashed(ctx, spot)) });
    }
    let disk = Case { image: "block-check+trace", ..Case::new(Spot::XL, "trace-disk", disk) };
    cases.push(disk.limit(120));
}

/// What every trace must show: nothing torn, tasks by their names, and a drawing in which what begins ends.
fn check(ctx: &Context<'_>, traces: &[Trace]) -> Result<(Trace, String)> {
    let [trace] = traces else { anyhow::bail!("{} traces were found, and there is one guest", traces.len()) };
    ensure!(trace.torn == 0 && trace.hz == 62_500_000, "{} torn, {} Hz", trace.torn, trace.hz);
    let names = Names::of(&std::fs::read(&ctx.built.elf)?)?;
    let text = timeline(trace, &names);
    let drawing = chrome(traces, &names, GUEST);
    let events = drawing["traceEvents"].as_array().context("no events")?;
    let count = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
    ensure!(count("B") == count("E") && count("b") == count("e"), "not everything that begins ends");
    ensure!(count("B") > 0, "nothing begins:\n{text}");
    Ok((trace.clone(), text))
}

/// Catches: a ring that is not found in a machine's memory, or not whole; tasks without names; idle times and events
/// that leave no record. The guest is not asked, and goes on.
fn running(ctx: &Context<'_>) -> Result<()> {
    let mut machine = ctx.dom0less(&ctx.config(Spot::DOM0LESS), &[ctx.domu(&Wish::args("quiet"))])?;
    let guest = machine.guests[0].clone();
    ctx.prompt(&guest)?;
    // It asks for input before it first waits for that: what is typed at once is answered in the same poll.
    let asleep = |trace: &Trace| trace.records.last().is_some_and(|last| last.kind == Kind::IdleBegin);
    let mut before = 0;
    for _ in 0..2 {
        let (trace, text) = loop {
            let traces = machine.traces()?;
            if traces.first().is_some_and(|trace| trace.count > before && asleep(trace)) {
                break check(ctx, &traces)?;
            }
            ensure!(!ctx.left().is_zero(), "the guest does not come to rest");
        };
        for what in ["fata_xenvm_arm64::log::pump", "> main", "< main", "idle for ever", "turn "] {
            must_say(&text, what)?;
        }
        ensure!(trace.tasks.iter().any(|task| task.state == TaskState::Waiting && task.polls > 0), "{text}");
        ensure!(before == 0 || text.contains("awake"), "nothing woke the guest:\n{text}");
        before = trace.count;
        ctx.ask(&guest, "clock")?;
    }
    Ok(())
}

/// Catches: a crash report without the ring or with half of it, on the consoles of both kinds of domain.
fn crashed(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let running = ctx.start(spot, &Wish::args("quiet"))?;
    ctx.prompt(&running.guest)?;
    running.guest.console.send("crash null\r")?;
    ctx.end(&running.guest, End::Crash)?;
    let console = running.everything(ctx.left())?;
    must_say(&console, "*** Fata stops: ")?;
    let (trace, text) = check(ctx, &Trace::of_console(console.as_bytes()))?;
    // It crashed in its main task, which so has not returned.
    let last =
        trace.records.iter().rev().find(|record| matches!(record.kind, Kind::PollBegin | Kind::PollEnd));
    let last = last.context("no task was polled")?;
    ensure!((last.kind, last.a) == (Kind::PollBegin, Kind::MAIN), "{last:?} is last:\n{text}");
    must_say(&text, "fata_xenvm_arm64::log::pump")
}

/// Catches: requests without answers, answers without requests, and events that are not seen.
fn disk(ctx: &Context<'_>) -> Result<()> {
    let dom0 = ctx.dom0(Spot::XL)?;
    let mut domu = ctx.xl_domu(&Wish::default());
    domu.disks.push(dom0.make_disk(&DiskWish::new("xvda", 4))?.spec("xvda"));
    let guest = dom0.create(&domu)?;
    ctx.end(&guest, End::PowerOff)?;
    dom0.drain(GUEST, &guest)?;
    let console = guest.console.output.text();
    must_say(&console, "SUCCESS")?;
    let (trace, text) = check(ctx, &Trace::of_console(console.as_bytes()))?;
    let of = |kind: Kind| trace.records.iter().filter(move |record| record.kind == kind);
    let disk = fata_trace::Device::disk(51712).0;
    let (out, back) =
        (of(Kind::RequestOut).filter(|r| r.a == disk), of(Kind::AnswerIn).filter(|r| r.a == disk));
    let (mut out, mut back): (Vec<_>, Vec<_>) = (out.map(|r| r.b).collect(), back.map(|r| r.b).collect());
    ensure!(out.len() >= 8 && of(Kind::Event).count() > 0 && of(Kind::Notified).count() > 0, "{text}");
    out.sort_unstable();
    back.sort_unstable();
    let lost = out.iter().filter(|request| back.binary_search(request).is_err()).count();
    ensure!(lost == 0, "{lost} requests have no answer:\n{text}");
    Ok(())
}
