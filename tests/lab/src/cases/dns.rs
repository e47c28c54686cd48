//! The name server: beside NSD and named-checkzone on this machine.

use anyhow::{Result, ensure};
use fata_dns::{Limits, Zone};

use super::{Case, Context};
use crate::dns;
use crate::machine::Folder;
use crate::mutate::seed;
use crate::progress::Progress;

/// Queries; `cargo xtask soak dns-diff` asks more.
const QUERIES: u64 = 1000;

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(Case::named("dns/beside-nsd".to_owned(), Box::new(beside_nsd)));
    cases.push(Case::named("dns/checkzone".to_owned(), Box::new(checkzone)));
}

/// Catches: whatever is not answered as by a server that many rely on, and for no reason.
fn beside_nsd(ctx: &Context<'_>) -> Result<()> {
    let folder = Folder::take(ctx.lab, &ctx.folder_name())?;
    let seed = seed();
    let compared = dns::beside_nsd(ctx.lab, &folder, seed, &Progress::quiet(), |done| done < QUERIES)?;
    ensure!(compared.same > QUERIES / 2, "only {} answers are the same: FATA_SEED={seed}", compared.same);
    Ok(())
}

/// What it lets pass with a warning, and we do not: a delegation that leads nowhere.
const STRICTER: &str = "sub NS ns.sub";

/// Zones, each with something wrong or odd in it, and whether it may be served.
const ZONES: [(&str, bool); 20] = [
    ("", true),
    ("x A 192.0.2.300", false),
    ("x CNAME a\nx A 192.0.2.1", false),
    ("x CNAME a\nx CNAME b", false),
    ("@ NS nowhere", false),
    ("@ NS alias\nalias CNAME ns", false),
    (STRICTER, false),
    ("sub NS ns.sub\nns.sub A 192.0.2.5", true),
    ("sub NS ns.elsewhere.test.", true),
    ("x DNAME a.test.\nx DNAME b.test.", false),
    ("@ SOA ns h 2 2 3 4 5", false),
    ("x MX mail", false),
    ("x TXT \"open", false),
    ("x TXT ( open", false),
    ("x HTTPS 1 . alpn=h2 alpn=h3", false),
    ("x HTTPS 1 . mandatory=port", false),
    ("x HTTPS 1 . port=443 alpn=h2", true),
    ("x CAA 0 issue \"ca.example\"", true),
    ("x TYPE4711 \\# 3 0102", false),
    ("@ MX 1 ns\n_a._tcp SRV 0 0 1 ns\n*.w A 192.0.2.1", true),
];

/// Catches: zones that are taken although they contradict themselves, and such as others take that are refused.
fn checkzone(ctx: &Context<'_>) -> Result<()> {
    let folder = Folder::take(ctx.lab, &ctx.folder_name())?;
    let file = folder.file("zone");
    for (records, sound) in ZONES {
        let text = format!(
            "$ORIGIN lab.example.\n$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n{records}\n"
        );
        std::fs::write(&file, &text)?;
        let ours = Zone::read(text.as_bytes(), None, Limits::default());
        let (theirs, said) = dns::checked(ctx.lab, &file, "lab.example", &Progress::quiet())?;
        ensure!(theirs == (sound || records == STRICTER), "named-checkzone on {records:?}: {said}");
        ensure!(ours.is_ok() == sound, "we on {records:?}: {ours:?}");
    }
    Ok(())
}
