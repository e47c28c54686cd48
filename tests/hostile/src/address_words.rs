//! Any words from the command line, the device tree and Xenstore, any cloud-init files: a choice that passes its check, and
//! a line that tells of it.

use crate::script::Script;
use fata_addresses::{Origin, Source, choose, cloud, metadata, yaml};
use fata_kit::words;

/// One input: pieces, each with a byte for what it is and one for its length.
///
/// # Panics
/// If the choice is not as it must be.
pub fn address_words(input: &[u8]) {
    let mut script = Script(input);
    let mut sources = Vec::new();
    while let (Some(kind), Some(len)) = (script.byte(), script.byte())
        && sources.len() < 8
    {
        let len = usize::from(len) * if kind & 8 == 0 { 1 } else { 64 };
        let bytes = script.bytes(len);
        let text = String::from_utf8_lossy(bytes);
        sources.push(match kind & 7 {
            0 => Source::words(Origin::CommandLine, words(&text)),
            1 => Source::words(Origin::DeviceTree, words(&text)),
            2 => Source::nodes(Origin::StoreTree, words(&text)),
            3 => Source::nodes(Origin::StoreNodes, [("ip", &*text), ("gw", &*text)].into_iter()),
            4 => Source::backend(&text),
            5 => cloud::read(Origin::Disk, Some(bytes), None, None),
            6 => cloud::read(Origin::Disk, None, Some(bytes), Some([2, 0, 0, 0, 0, 1])),
            _ => {
                let _ = (metadata::answer(bytes), yaml::read(bytes));
                continue;
            }
        });
    }
    let choice = choose(sources);
    choice.config.check().unwrap();
    let line = choice.to_string();
    assert!(line.starts_with("addresses: ") && line.len() < 64 << 10);
    assert!(!line.chars().any(char::is_control));
    for topic in fata_addresses::Topic::ALL {
        choice.without(topic).config.check().unwrap();
    }
}
