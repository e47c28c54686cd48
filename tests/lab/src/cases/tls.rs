//! TLS, with openssl on this machine at the other end.

use anyhow::Result;

use super::{Case, Context};
use crate::machine::Folder;
use crate::progress::Progress;
use crate::tls;
use crate::tools::{On, Tools};

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(Case::named("tls/openssl-client".to_owned(), Box::new(with_client)).limit(240));
    cases.push(Case::named("tls/openssl-server".to_owned(), Box::new(with_server)).limit(240));
}

fn prepare(ctx: &Context<'_>) -> Result<(Tools, Folder)> {
    Ok((ctx.lab.tools(On::Host, &Progress::quiet())?, Folder::take(ctx.lab, &ctx.folder_name())?))
}

/// Catches: versions, suites, groups, keys, tickets and new keys that `s_client` cannot agree upon with us, alerts that it does not
/// know.
fn with_client(ctx: &Context<'_>) -> Result<()> {
    let (tools, folder) = prepare(ctx)?;
    tls::our_server(&tools, &folder)
}

/// Catches: the same with `s_server`, and signatures of RSA.
fn with_server(ctx: &Context<'_>) -> Result<()> {
    let (tools, folder) = prepare(ctx)?;
    tls::our_client(&tools, &folder)
}
