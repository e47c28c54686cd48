//! Feature `text`: what the sink and the flight recorder get. One test, since both are global.
#![cfg(all(feature = "text", not(feature = "defmt")))]

use fata_log::{Level, debug, error, info, recent, set_clock, set_level, set_sink, trace, warn};
use std::fmt::Arguments;
use std::sync::Mutex;

static SHOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn sink(level: Level, message: Arguments<'_>) {
    SHOWN.lock().unwrap().push(format!("{level} {message}"));
    info!("from the sink itself");
}

/// Counts how often it is formatted.
#[derive(Debug)]
struct Costly<'a>(&'a Mutex<u32>);

impl std::fmt::Display for Costly<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        *self.0.lock().unwrap() += 1;
        f.write_str("costly")
    }
}

#[test]
fn messages_are_shown_by_level_and_recorded() {
    error!("before there is a sink");
    set_sink(sink);
    set_clock(|| 12_345_678_901);
    let formatted = Mutex::new(0);
    info!("banks: {} of {:#x}, {:?}", 1, 16, "two\nlines");
    warn!("{}", Costly(&formatted));
    debug!("recorded, not shown");
    trace!("neither {}", Costly(&formatted));
    assert_eq!(*formatted.lock().unwrap(), 2, "recorded and shown once each; the trace not formatted");
    set_level(Level::Trace);
    trace!("now shown");
    set_level("error".parse().unwrap());
    info!("line\nfeed");

    let shown = SHOWN.lock().unwrap().clone();
    assert_eq!(shown, ["info banks: 1 of 0x10, \"two\\nlines\"", "warn costly", "trace now shown"]);
    let mut recorded = Vec::new();
    recent(|piece| recorded.extend_from_slice(piece));
    let expected = [
        "    0.000000 error before there is a sink",
        r#"   12.345678 info  banks: 1 of 0x10, "two\nlines""#,
        "   12.345678 info  from the sink itself",
        "   12.345678 warn  costly",
        "   12.345678 info  from the sink itself",
        "   12.345678 debug recorded, not shown",
        "   12.345678 trace now shown",
        "   12.345678 info  from the sink itself",
        "   12.345678 info  line feed",
    ];
    assert_eq!(String::from_utf8(recorded).unwrap().lines().collect::<Vec<_>>(), expected);
}
