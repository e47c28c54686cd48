//! Xenstore, the toolstack's orders and devices, as a user sees them, on the simulator.
#![forbid(unsafe_code)]

mod common;

use common::guest::golden;
use common::session::{GUEST, HOME, S, Session};
use fata_sim::Store;
use mir_console::Exit;

#[test]
fn store_lists_reads_and_writes() {
    let session = Session::start(Store::Present);
    let seen = session.ask("store ls");
    golden("store-ls.txt", &seen.replace('\n', "\r\n"));
    assert_eq!(session.ask("store read name"), "\"guest-1\"\n");
    assert_eq!(session.ask(&format!("store read {HOME}/domid")), "\"1\"\n");
    assert_eq!(session.ask("store write data/x  two  words "), "");
    assert_eq!(session.server.text(&format!("{HOME}/data/x")), "two  words");
    assert_eq!(session.ask("store write data/x \" a \""), "");
    assert_eq!(session.server.text(&format!("{HOME}/data/x")), " a ");
    assert_eq!(session.ask("store write data/y \"\""), "");
    assert_eq!(session.server.read(&format!("{HOME}/data/y")), Some(Vec::new()));
    assert_eq!(session.ask("store ls data"), "  x = \" a \"\n  y = \"\"\n");
    assert_eq!(session.ask(&format!("store ls {HOME}")), session.ask("store ls"));
    let watches = session.server.watches(GUEST);
    assert_eq!(session.key("poweroff\r").trim_end(), "poweroff");
    assert_eq!(watches, 2, "those for orders");
    assert_eq!(session.end(), Exit::Poweroff);
}

#[test]
fn errors_are_in_words_and_help_says_how() {
    let session = Session::start(Store::Present);
    for (line, answer) in [
        ("store read nowhere", "Xenstore refused: ENOENT\n"),
        ("store ls nowhere", "Xenstore refused: ENOENT\n"),
        ("store read a//b", "no valid Xenstore path\n"),
        ("store write /local/domain/0/x y", "Xenstore refused: EACCES\n"),
        ("blk read xvdb 0", "there is no disk xvdb\n"),
        ("blk", "There are no disks.\n"),
        ("devices", "There are no devices.\n"),
        (
            "blk write xvda 8 hello",
            "This overwrites what is there. If you mean it: blk write xvda 8 really hello\n",
        ),
    ] {
        assert_eq!(session.ask(line), answer, "{line}");
    }
    for (line, name) in [
        ("store", "store VERB PATH\n"),
        ("store read", "store VERB PATH\n"),
        ("store write x", "store VERB PATH\n"),
        ("store frobnicate x", "store VERB PATH\n"),
        ("blk read", "blk [VERB]\n"),
        ("blk read sda 0", "blk [VERB]\n"),
        ("blk read xvda -1", "blk [VERB]\n"),
        ("blk read xvda 0 x", "blk [VERB]\n"),
        ("blk write xvda 0", "blk [VERB]\n"),
        ("blk bench xvda x", "blk [VERB]\n"),
    ] {
        assert!(session.ask(line).starts_with(name), "{line}");
    }
    session.key("poweroff\r");
    assert_eq!(session.end(), Exit::Poweroff);
}

#[test]
fn what_comes_from_the_store_cannot_move_the_cursor() {
    let session = Session::start(Store::Present);
    session.server.write(&format!("{HOME}/data/x"), b"\x1b[2J\"\xff\r\n\0");
    session.server.set_perms(&format!("{HOME}/data/x"), &["n1"]);
    assert_eq!(session.ask("store read data/x"), "\"\\x1b[2J\\\"\\xff\\x0d\\n\\x00\"\n");
    assert_eq!(session.ask("store ls data"), "  x = \"\\x1b[2J\\\"\\xff\\x0d\\n\\x00\"\n");
    // A toolstack's device of an odd kind, with a backend that nobody could be at.
    let backend = format!("{HOME}/device/odd-kind/7/backend");
    session.server.write(&backend, b"\x1b[31mred");
    session.server.set_perms(&backend, &["n1"]);
    let seen = session.ask("devices");
    assert!(seen.contains("odd-kind 7: ours Unknown, the backend's Unknown"), "{seen}");
    assert!(seen.contains("?[31mred"), "{seen}");
    session.key("poweroff\r");
    assert_eq!(session.end(), Exit::Poweroff);
}

#[test]
fn watch_tells_what_changes_until_a_key_is_pressed() {
    let session = Session::start(Store::Present);
    let (data, x) = (format!("{HOME}/data"), format!("{HOME}/data/x"));
    assert_eq!(session.ask("store watch data"), "Any key ends this.\ndata = \"\"\n...");
    assert_eq!(session.server.watches(GUEST), 3);
    session.server.write(&x, "1");
    session.server.set_perms(&x, &["n1"]);
    assert_eq!(session.seen(), "data/x = \"1\"\n");
    session.server.write(&x, "2");
    assert_eq!(session.seen(), "data/x = \"2\"\n");
    session.server.rm(&x);
    assert_eq!(session.seen(), "data/x is gone\n");
    session.server.write(&format!("{data}/secret"), "");
    session.server.set_perms(&format!("{data}/secret"), &["n0"]);
    assert!(session.seen().contains("data/secret: Xenstore refused: EACCES\n"));
    // One key, though it is three bytes; what is typed then is a command.
    assert_eq!(session.key("\x1b[A"), "fata> ");
    session.rest();
    assert_eq!(session.server.watches(GUEST), 2);
    assert_eq!(session.ask("echo next"), "next\n");
    // The LF of a CRLF is no key.
    session.daemon.input(b"store watch name\r\n");
    assert!(session.seen().ends_with("name = \"guest-1\"\n"));
    assert_eq!(session.key("qpoweroff\r").trim_end(), "fata> poweroff");
    assert_eq!(session.end(), Exit::Poweroff);
}

#[test]
fn a_command_that_waits_is_ended_by_ctrl_c() {
    let session = Session::start(Store::Present);
    session.server.pause();
    assert_eq!(session.ask("store read name"), "...");
    // Other keys are for whoever reads next, and gone with the interrupt.
    assert_eq!(session.key("echo lost"), "");
    assert_eq!(session.key("\x03"), "^C\nfata> ");
    session.server.go_on();
    assert_eq!(session.ask("store read name"), "\"guest-1\"\n");
    // What was typed ahead is not lost without one.
    session.server.pause();
    session.daemon.input(b"store read name\recho ahead\r");
    session.rest();
    session.server.go_on();
    assert!(session.seen().ends_with("\"guest-1\"\nfata> echo ahead\nahead\nfata> "));
    session.key("poweroff\r");
    assert_eq!(session.end(), Exit::Poweroff);
}

#[test]
fn without_a_store_commands_say_so() {
    let session = Session::start(Store::Absent);
    for line in ["store ls", "devices", "blk", "blk read xvda 0"] {
        assert_eq!(session.ask(line), "this domain has no Xenstore\n");
    }
    assert!(session.ask("about").contains("  xenstore      absent\n"));
    session.key("poweroff\r");
    session.rest();
    assert!(session.ended.is_finished());
}

#[test]
fn a_store_that_is_late_is_waited_for() {
    for (kind, state) in [
        (Store::Legacy, "waiting for the toolstack to set it up"),
        (Store::Enhanced, "waiting for the server"),
    ] {
        let session = Session::start(kind);
        assert!(session.ask("about").contains(&format!("  xenstore      {state}\n")));
        let notice = format!("Xenstore: {state}; Ctrl-C gives up\n");
        assert_eq!(session.ask("store read name"), format!("{notice}..."));
        assert_eq!(session.key("\x03"), "^C\nfata> ");
        assert_eq!(session.ask("store read name"), format!("{notice}..."));
        session.pass(S);
        session.server.introduce(&session.world.find(GUEST).unwrap());
        assert_eq!(session.seen(), "\"guest-1\"\nfata> ");
        session.server.write(&format!("{HOME}/control/shutdown"), "reboot");
        assert_eq!(session.end(), Exit::Reboot);
    }
}

#[test]
fn orders_end_the_domain_once_they_are_acknowledged() {
    let shutdown = format!("{HOME}/control/shutdown");
    for (order, exit) in [
        ("poweroff", Exit::Poweroff),
        ("halt", Exit::Poweroff),
        ("reboot", Exit::Reboot),
        ("crash", Exit::Crash),
    ] {
        // At the prompt, in the middle of a line, in a command that waits, and in one that reads raw input.
        for typed in ["", "echo half a li", "store watch data\r", "echo raw 100\r"] {
            let session = Session::start(Store::Present);
            session.key(typed);
            assert!(!session.ended.is_finished());
            session.server.write(&shutdown, order);
            session.rest();
            assert_eq!(session.server.read(&shutdown), Some(Vec::new()), "{order} is not acknowledged");
            assert_eq!(session.end(), exit);
        }
    }
}

#[test]
fn an_order_is_followed_even_if_nobody_reads_the_console() {
    let session = Session::start(Store::Present);
    session.daemon.input(b"dt\r");
    session.world.run_backends();
    session.daemon.stop();
    session.rest();
    session.server.write(&format!("{HOME}/control/shutdown"), "poweroff");
    assert_eq!(session.end(), Exit::Poweroff);
}

#[test]
fn suspend_is_refused_and_life_goes_on() {
    let session = Session::start(Store::Present);
    session.server.write(&format!("{HOME}/control/shutdown"), "suspend");
    session.rest();
    assert_eq!(session.server.text(&format!("{HOME}/control/shutdown")), "suspend");
    assert_eq!(session.server.text(&format!("{HOME}/control/feature-suspend")), "0");
    assert_eq!(session.ask("echo alive"), "alive\n");
    session.server.write(&format!("{HOME}/control/shutdown"), "poweroff");
    assert_eq!(session.end(), Exit::Poweroff);
}

#[test]
fn sysrq_shows_the_state_and_keeps_what_was_typed() {
    let session = Session::start(Store::Present);
    let sysrq = format!("{HOME}/control/sysrq");
    session.key("echo half");
    session.server.write(&sysrq, "s");
    let seen = session.seen();
    for row in
        ["\nsysrq s\n", "  turns  ", "connected to\n", "  xenstore      connected\n", "  heap in use  "]
    {
        assert!(seen.contains(row), "{row:?} is missing in {seen}");
    }
    assert!(seen.ends_with("\nfata> echo half"), "{seen}");
    assert_eq!(session.server.read(&sysrq), Some(Vec::new()), "it is not acknowledged");
    assert_eq!(session.key(" a line\r"), " a line\nhalf a line\nfata> ");

    // While a command waits, which goes on.
    session.server.pause();
    session.ask("store read name");
    session.server.go_on();
    session.seen();
    session.ask("store watch data");
    for (key, row) in [
        ("t", "turns"),
        ("e", "upcalls"),
        ("d", "xenstore"),
        ("m", "allocator"),
        ("x", "The keys are"),
        ("\u{1b}", "sysrq ?"),
    ] {
        session.server.write(&sysrq, key);
        let seen = session.seen();
        assert!(seen.contains(row) && !seen.contains("fata> "), "{key:?}: {seen}");
    }
    session.server.write(&format!("{HOME}/data/x"), "");
    assert!(session.seen().starts_with("data/x"));
    session.server.write(&format!("{HOME}/control/shutdown"), "poweroff");
    assert_eq!(session.end(), Exit::Poweroff);
}

/// A server that breaks the protocol: commands say so, and the rest of the console works.
#[test]
fn a_dead_store_is_reported() {
    let session = Session::start(Store::Present);
    session.server.send_raw(GUEST, &[0xff; 64]);
    session.rest();
    assert_eq!(session.ask("store read name"), "Xenstore broke its protocol\n");
    assert_eq!(session.ask("devices"), "Xenstore broke its protocol\n");
    assert!(session.ask("about").contains("  xenstore      Xenstore broke its protocol\n"));
    assert_eq!(session.ask("echo on"), "on\n");
    session.key("poweroff\r");
    assert_eq!(session.end(), Exit::Poweroff);
}

#[test]
fn commands_of_the_command_line_wait_too() {
    let session = Session::with(Store::Enhanced, "quiet colours=off exec=\"store read name;blk\"", |_, _| {});
    assert!(!session.ended.is_finished());
    session.server.introduce(&session.world.find(GUEST).unwrap());
    assert!(session.seen().ends_with("\"guest-1\"\nfata> blk\nThere are no disks.\n"));
    assert_eq!(session.end(), Exit::Poweroff);
}
