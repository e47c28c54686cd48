//! Neither feature: call sites compile, and nothing comes of them.
#![cfg(not(any(feature = "text", feature = "defmt")))]

use fata_log::{Level, debug, error, info, level, recent, set_level, set_sink, trace, warn};

#[test]
fn nothing_is_emitted_and_no_argument_evaluated() {
    set_sink(|_, _| panic!("emitted"));
    set_level(Level::Trace);
    assert_eq!(level(), Level::Trace);
    let evaluated = || -> u32 { panic!("evaluated") };
    error!("{}", evaluated());
    warn!("{:?}", Some(evaluated()));
    info!("{:#x}", evaluated());
    debug!("no arguments");
    trace!("trailing comma {}", evaluated(),);
    recent(|_| panic!("recorded"));
}
