//! The PV console under stress: much input, nobody at the other end, somebody new at the other end.

use std::thread;

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context, GUEST, PROMPT, Spot, Wish, must_say, number, plain};
use crate::guest::{End, Guest};
use crate::host::{Dom0, XlDomU};
use crate::mutate::{Random, seed};

const MIB: usize = 1 << 20;
const DAEMON: &str = "/run/xenconsoled.pid";
/// The PV console's ring for output (`xen/include/public/io/console.h`).
const RING: usize = 2048;
const LOG: &str = "/var/log/xen/console/guest-guest.log";

pub(super) fn add(cases: &mut Vec<Case>) {
    let mut case = |name, limit, run: fn(&Context<'_>) -> Result<()>| {
        cases.push(Case::new(Spot::XL, name, run).limit(limit));
    };
    case("paste-1-mib-raw", 180, paste_raw);
    case("paste-into-editor", 180, paste_into_editor);
    case("nobody-reads", 90, nobody_reads);
    case("nobody-reads-poweroff", 60, |ctx| nobody_reads_the_end(ctx, "quiet exec=clock", End::PowerOff));
    // Its report is longer than the ring.
    case("nobody-reads-crash", 60, |ctx| nobody_reads_the_end(ctx, "quiet exec=\"crash stack\"", End::Crash));
    case("xenconsoled-restarts", 120, xenconsoled_restarts);
    case("event-storm", 120, event_storm);
    case("pause", 60, pause);
    case("destroy", 60, destroy);
    cases.push(Case::new(Spot::DOM0LESS, "input-storm", input_storm).limit(120));
}

/// A guest under xl at its prompt.
fn at_prompt(ctx: &Context<'_>) -> Result<(Dom0, Guest)> {
    let dom0 = ctx.dom0(Spot::XL)?;
    let guest = dom0.create(&ctx.xl_domu(&Wish::args("quiet")))?;
    ctx.prompt(&guest)?;
    Ok((dom0, guest))
}

/// Catches: a byte lost, doubled or changed anywhere between the ring and the application, in either direction,
/// with both rings full all the time.
fn paste_raw(ctx: &Context<'_>) -> Result<()> {
    let (_dom0, guest) = at_prompt(ctx)?;
    let seed = seed();
    let paste = Random::new(seed).bytes(MIB);
    guest.console.send(format!("echo raw {MIB}\r"))?;
    ctx.expect(&guest, &format!("echo: send {MIB} bytes\x1b[0m\r\n"))?;
    let before = guest.console.output.bytes();
    let header = b"bytes\x1b[0m\r\n";
    let start =
        before.windows(header.len()).rposition(|w| w == header).context("the header is gone")? + header.len();

    let console = guest.console.clone();
    let sent = paste.clone();
    let sender = thread::spawn(move || console.send(sent));
    ensure!(
        guest.console.output.wait_for_length(start + MIB, ctx.left()),
        "only {} of {MIB} bytes came back (FATA_SEED={seed})",
        guest.console.output.bytes().len() - start
    );
    sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    let echoed = guest.console.output.bytes();
    let wrong = echoed[start..start + MIB].iter().zip(&paste).position(|(e, p)| e != p);
    ensure!(wrong.is_none(), "byte {} of the echo is wrong (FATA_SEED={seed})", wrong.unwrap_or_default());
    // What the guest counted is what we sent.
    guest.console.output.expect_any(&["crc32 "], ctx.left())?;
    ctx.expect(&guest, PROMPT)?;
    Ok(())
}

/// Catches: a line editor that loses lines when more is pasted than the ring holds.
fn paste_into_editor(ctx: &Context<'_>) -> Result<()> {
    const LINES: usize = 1000;
    let (_dom0, guest) = at_prompt(ctx)?;
    let lines = (0..LINES).map(|n| format!("echo line {n} of a long paste\r")).collect::<String>();
    let console = guest.console.clone();
    let sender = thread::spawn(move || console.send(lines));
    ctx.expect(&guest, &format!("\nline {} of a long paste\r\n", LINES - 1))?;
    sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    let seen = guest.console.output.text();
    let answers: Vec<_> = seen.split("\r\n").filter(|line| line.starts_with("line ")).collect();
    ensure!(answers.len() == LINES, "{} of {LINES} lines were answered", answers.len());
    let wrong = answers.iter().enumerate().find(|(n, line)| **line != format!("line {n} of a long paste"));
    ensure!(wrong.is_none(), "a line came back wrong: {wrong:?}");
    Ok(())
}

/// A guest that starts when xenconsoled has stopped for the time being.
fn unread(ctx: &Context<'_>, args: &str) -> Result<(Dom0, Guest)> {
    let dom0 = ctx.dom0(Spot::XL)?;
    // xl waits for xenconsoled when it creates a domain, but not when it lets it run.
    let guest = dom0.create(&XlDomU { paused: true, ..ctx.xl_domu(&Wish::args(args)) })?;
    dom0.sh(&format!("kill -STOP $(cat {DAEMON}) && xl unpause {GUEST}"))?;
    Ok((dom0, guest))
}

/// Commands whose output is many times what the ring holds.
const CHAPTERS: usize = 12;

fn chapters(end: &str) -> String {
    let commands = (1..=CHAPTERS).map(|n| format!("echo chapter {n};dt;")).collect::<String>();
    format!("quiet exec=\"{commands}{end}\"")
}

/// Fails unless every chapter is there once, in order, and whole.
fn check_chapters(text: &str) -> Result<()> {
    let text = plain(text);
    // The prompt repeats each command, so the answer is told from it by its line's start.
    let told: Vec<_> = text.split("\nchapter ").skip(1).collect();
    let numbers: Vec<_> = told.iter().filter_map(|c| c.lines().next()?.parse::<usize>().ok()).collect();
    ensure!(
        numbers == (1..=CHAPTERS).collect::<Vec<_>>(),
        "chapters are missing, doubled or out of order: {numbers:?}"
    );
    let tree = |chapter: &str| {
        chapter
            .split_once(&format!("{PROMPT}dt\n"))
            .map(|(_, tree)| tree.split(PROMPT).next().map(str::to_owned))
    };
    let first = tree(told[0]).flatten().context("the first chapter has no device tree")?;
    ensure!(first.len() * CHAPTERS > 4 * RING, "all is hardly longer than the ring:\n{first}");
    for chapter in &told {
        ensure!(tree(chapter).flatten().as_ref() == Some(&first), "a chapter is not whole:\n{chapter}");
    }
    Ok(())
}

/// Catches: output thrown away when the ring is full, or a CPU burnt while waiting for a reader. xenconsoled stands
/// still while the guest prints; it waits, blocked, and goes on when xenconsoled does.
fn nobody_reads(ctx: &Context<'_>) -> Result<()> {
    let (dom0, guest) = unread(ctx, &chapters("echo the end"))?;
    // Until it sleeps. The time it used then stays what it is.
    dom0.sh(&format!("until xl list {GUEST} | grep -q -- '-b----'; do usleep 20000; done"))?;
    let used = "xl list guest | awk 'END { print $NF }'";
    let settle =
        format!("a=$({used}); until usleep 500000; b=$({used}); [ \"$a\" = \"$b\" ]; do a=$b; done; echo $a");
    let before = dom0.sh(&settle)?;
    let after = dom0.sh(&format!("usleep 1000000; {used}"))?;
    ensure!(
        before == after,
        "it burns CPU time while nobody reads: {} s, then {} s",
        before.trim(),
        after.trim()
    );
    ensure!(guest.ended().is_none(), "it ended although nobody took its output");
    dom0.sh(&format!("kill -CONT $(cat {DAEMON})"))?;
    ctx.end(&guest, End::PowerOff)?;
    check_chapters(&String::from_utf8_lossy(&dom0.pull(LOG)?))
}

/// Catches: a domain that can only end when somebody reads its last words.
fn nobody_reads_the_end(ctx: &Context<'_>, args: &str, end: End) -> Result<()> {
    let (_dom0, guest) = unread(ctx, args)?;
    ctx.end(&guest, end)
}

/// Catches: a guest that is lost when its console's backend is. xenconsoled is killed in the middle of much output
/// and started again; the guest goes on, and the log has all of it.
fn xenconsoled_restarts(ctx: &Context<'_>) -> Result<()> {
    let dom0 = ctx.dom0(Spot::XL)?;
    let guest = dom0.create(&ctx.xl_domu(&Wish::args(&chapters("echo the end"))))?;
    dom0.sh(&format!("until grep -q 'chapter 3' {LOG}; do usleep 1000; done; kill -9 $(cat {DAEMON})"))?;
    dom0.sh(&format!(
        "rm -f {DAEMON}; xenconsoled --log=guest --log-dir=/var/log/xen/console --pid-file={DAEMON}"
    ))?;
    ctx.end(&guest, End::PowerOff)?;
    check_chapters(&String::from_utf8_lossy(&dom0.pull(LOG)?))
}

/// Catches: a guest that is kept from its work by events, or misses one among many. dom0 types a thousand keys, each
/// with an event of its own; then a command is answered as always.
fn event_storm(ctx: &Context<'_>) -> Result<()> {
    const KEYS: u64 = 1000;
    let (dom0, guest) = at_prompt(ctx)?;
    // Each sleep lets xenconsoled pass a key on before the next one comes. Every other key is a backspace.
    dom0.sh(&format!(
        "exec 3>$(xenstore-read /local/domain/{}/console/tty); i=0\n\
         while [ $i -lt {KEYS} ]; do printf x >&3; usleep 1; printf '\\177' >&3; usleep 1; i=$((i + 2)); done",
        guest.domain
    ))?;
    guest.console.send("echo still here\r")?;
    ctx.expect(&guest, "\nstill here\r\n")?;
    ctx.expect(&guest, PROMPT)?;
    let sleeps = number(&ctx.ask(&guest, "tasks")?, "sleeps")?;
    ensure!(sleeps > KEYS / 2, "the storm came as a breeze: the guest slept only {sleeps} times");
    Ok(())
}

/// Catches: the same where each key is an interrupt of the vpl011.
fn input_storm(ctx: &Context<'_>) -> Result<()> {
    const KEYS: u64 = 1000;
    let running = ctx.start(Spot::DOM0LESS, &Wish::args("quiet"))?;
    let guest = &running.guest;
    ctx.prompt(guest)?;
    for _ in 0..KEYS / 2 {
        guest.console.send("x")?;
        guest.console.send("\x7f")?;
    }
    // Ctrl-U: should a byte have been lost on a line without flow control, what it left behind goes.
    guest.console.send("\x15echo still here\r")?;
    ctx.expect(guest, "\nstill here\r\n")?;
    ctx.expect(guest, PROMPT)?;
    let sleeps = number(&ctx.ask(guest, "tasks")?, "sleeps")?;
    ensure!(sleeps > KEYS / 4, "the storm came as a breeze: the guest slept only {sleeps} times");
    Ok(())
}

/// Catches: a guest that does not survive standing still, or whose timers and input are lost by it.
fn pause(ctx: &Context<'_>) -> Result<()> {
    let (dom0, guest) = at_prompt(ctx)?;
    for n in 0..3 {
        dom0.sh(&format!("xl pause {GUEST}"))?;
        guest.console.send(format!("echo while paused {n}\r"))?;
        let list = dom0.sh(&format!("xl list {GUEST}"))?;
        ensure!(list.contains("--p---"), "xl does not call it paused:\n{list}");
        let said = plain(&guest.console.output.text());
        ensure!(!said.contains(&format!("\nwhile paused {n}")), "it answers while it is paused");
        dom0.sh(&format!("xl unpause {GUEST}"))?;
        ctx.expect(&guest, &format!("\nwhile paused {n}\r\n"))?;
    }
    must_say(&ctx.ask(&guest, "clock")?, "since start")
}

/// Catches: a domain that holds on to something, so that it stays as a zombie after `xl destroy`.
fn destroy(ctx: &Context<'_>) -> Result<()> {
    let (dom0, guest) = at_prompt(ctx)?;
    guest.console.send("dt\r".repeat(20))?;
    ctx.expect(&guest, "timer {")?;
    dom0.destroy(GUEST)?;
    dom0.sh(&format!("until ! xl list {} 2>/dev/null; do usleep 20000; done", guest.domain))?;
    let list = dom0.sh("xl list")?;
    ensure!(list.lines().count() == 2, "something is left besides dom0:\n{list}");
    // And there is room for the next one.
    let guest = dom0.create(&ctx.xl_domu(&Wish::args("quiet")))?;
    ctx.prompt(&guest).map(drop)
}
