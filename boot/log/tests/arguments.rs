//! What may be said to the log, whichever feature is on. Under defmt this does not link on a host;
//! `cargo clippy --all-targets --features defmt` type-checks it.

use fata_log::{debug, error, info, trace, warn};
use std::fmt::{Debug, Display};

#[derive(Debug)]
struct OnlyDebug;

struct OnlyDisplay(&'static str);

impl Display for OnlyDisplay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

fn generic<T: Debug, E: Display>(value: T, error: &E) {
    info!("{:?} {}", value, error);
}

#[test]
fn arguments_of_all_kinds() {
    let (size, name) = (5_000_u64, String::from("eth0"));
    error!("plain");
    warn!("{} KiB of {:#x}", size >> 10, size | 1);
    info!("{} {} {:?} {}", name, &name, &name[1..], OnlyDisplay("shown"));
    debug!("{:?} {:?} {:?}", OnlyDebug, Some(OnlyDebug), (1, "two", [3u8; 3]));
    trace!("{{{:08b}}} {:?}", 5u8, if size > 1 { Ok(1) } else { Err(OnlyDebug) });
    generic(OnlyDebug, &OnlyDisplay("shown"));
    generic(vec![1u8], &3);
    // Not moved.
    drop(name);
}
