//! Every target of `tests/fuzz` holds on every file of its corpus.
#![forbid(unsafe_code)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A target.
type Target = fn(&[u8]);

/// Of all targets, by name, with the folder of its corpus.
const TARGETS: [(&str, &str, Target); 30] = [
    ("address_words", "address-words", fata_hostile::address_words),
    ("block_backend", "block-backend", fata_hostile::block_backend),
    ("cloud_disks", "cloud-disks", fata_hostile::cloud_disks),
    ("deploy_file", "deploy-file", fata_hostile::deploy_file),
    ("deploy_tree", "device-trees", fata_hostile::deploy_tree),
    ("disk_files", "disk-files", fata_hostile::disk_files),
    ("disk_tables", "disk-tables", fata_hostile::disk_tables),
    ("dns_query", "dns-query", fata_hostile::dns_query),
    ("dns_zone", "dns-zone", fata_hostile::dns_zone),
    ("dt_parse", "device-trees", fata_hostile::dt_parse),
    ("dt_print", "device-trees", fata_hostile::dt_print),
    ("http_chunks", "http-chunks", fata_hostile::http_chunks),
    ("http_requests", "http-requests", fata_hostile::http_requests),
    ("http_responses", "http-responses", fata_hostile::http_responses),
    ("http_urls", "http-urls", fata_hostile::http_urls),
    ("net_backend", "net-backend", fata_hostile::net_backend),
    ("resolve_answers", "resolve-answers", fata_hostile::resolve_answers),
    ("ring_front", "rings", fata_hostile::ring_front),
    ("site_blob", "site-blob", fata_hostile::site_blob),
    ("site_rules", "site-rules", fata_hostile::site_rules),
    ("stack_addresses", "stack-addresses", fata_hostile::stack_addresses),
    ("stack_frames", "stack-frames", fata_hostile::stack_frames),
    ("time_answers", "time-answers", fata_hostile::time_answers),
    ("tls_pem_der", "tls-pem-der", fata_hostile::tls_pem_der),
    ("tls_to_client", "tls-to-client", fata_hostile::tls_to_client),
    ("tls_to_server", "tls-to-server", fata_hostile::tls_to_server),
    ("vchan_peer", "vchan-peer", fata_hostile::vchan_peer),
    ("vchan_static", "vchan-static", fata_hostile::vchan_static),
    ("xenbus_nodes", "xenbus-nodes", fata_hostile::xenbus_nodes),
    ("xenstore_replies", "xenstore-replies", fata_hostile::xenstore_replies),
];

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Gives a target each file of its corpus.
fn replay(wanted: &str) {
    let (_, corpus, target) = TARGETS.iter().find(|(name, ..)| *name == wanted).unwrap();
    let files = files(&format!("corpus/{corpus}"));
    assert!(!files.is_empty());
    for file in files {
        let input = fs::read(&file).unwrap();
        let held = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(held.is_ok(), "{wanted} breaks on {}", file.display());
    }
}

macro_rules! corpora {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*

        #[test]
        fn no_target_and_no_corpus_is_left_out() {
            let here = [$(stringify!($target)),*];
            assert_eq!(here, TARGETS.map(|(name, ..)| name));
            let targets: Vec<_> = files("fuzz_targets").iter().map(|path| stem(path)).collect();
            assert_eq!(here[..], targets[..]);
            let corpora: Vec<_> = files("corpus").iter().map(|path| stem(path)).collect();
            let mut replayed = TARGETS.map(|(_, corpus, _)| corpus).to_vec();
            replayed.sort_unstable();
            replayed.dedup();
            assert_eq!(replayed, corpora);
        }
    };
}

corpora! {
    address_words block_backend cloud_disks deploy_file deploy_tree disk_files disk_tables dns_query dns_zone dt_parse dt_print http_chunks http_requests http_responses http_urls net_backend resolve_answers ring_front site_blob site_rules stack_addresses stack_frames time_answers tls_pem_der tls_to_client tls_to_server vchan_peer vchan_static xenbus_nodes xenstore_replies
}
