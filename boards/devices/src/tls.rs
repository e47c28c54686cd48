//! Who this domain is in TLS: certificates and keys, and whom it trusts, from behind the image and from Xenstore.
//!
//! | where | |
//! |---|---|
//! | `tls/cert`, `tls/key` of the payload | a certificate with those that vouch for it, and its key, in PEM |
//! | `data/tls/NAME/cert`, `data/tls/NAME/key` of this domain in Xenstore | the same, for any number of names |
//! | `tls/trust` of the payload | certificates of those whom it believes, in PEM |
//!
//! A node of Xenstore holds 4 KiB at most, so there may be pieces of a text below it, in the order of their numbers: `cert/0`,
//! `cert/1`, … Whoever writes several nodes does so in a transaction, since the store is looked at whenever something below
//! `data/tls` changes; it should let nobody else read keys, which is how the toolstack makes a domain's nodes. What is there
//! takes the place of what is behind the image, and of what was there before, for connections to come. As long as it makes no
//! sense, the log says so, and everything stays as it was.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use fata_payload::Payload;
use fata_rt::Rt;
use fata_tls::{Identities, Identity, IdentityError, Trust, TrustError};
use fata_xenstore::{Errno, Error as StoreError, Xenstore};
use xen_hyp::Platform;
use zeroize::Zeroizing;

/// The members of a payload.
const CERTIFICATE: &str = "tls/cert";
const KEY: &str = "tls/key";
const TRUST: &str = "tls/trust";
/// Where certificates are in Xenstore, below our own domain's path.
const STORE: &str = "data/tls";
/// Names there, and pieces of each text.
const MOST: usize = 32;

/// Why there is no identity, or nobody to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// What is behind the image is no payload.
    Payload(fata_payload::Error),
    /// There is one of certificate and key, but not both.
    Half(String),
    /// They make no sense.
    Identity(String, IdentityError),
    /// Those who are to be trusted make no sense.
    Trust(TrustError),
    /// Xenstore.
    Store(StoreError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload(error) => write!(f, "behind the image: {error}"),
            Self::Half(place) => write!(f, "{place}: there is one of certificate and key, but not both"),
            Self::Identity(place, error) => write!(f, "{place}: {error}"),
            Self::Trust(error) => write!(f, "{TRUST} behind the image: {error}"),
            Self::Store(error) => write!(f, "{STORE}: {error}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn open(payload: &[u8]) -> Result<Option<Payload<'_>>, Error> {
    (!payload.is_empty()).then(|| Payload::open(payload)).transpose().map_err(Error::Payload)
}

/// Who this domain is now, and from now on: what is written to Xenstore later counts for connections to come. There may be
/// nobody yet.
pub async fn identities<P: Platform>(
    rt: &Rt,
    store: &Xenstore<P>,
    payload: &'static [u8],
) -> Result<Identities, Error> {
    let behind: Vec<_> = behind_the_image(payload)?.into_iter().collect();
    // Before the first look, so that nothing is missed.
    let mut watch = store.watch(STORE)?;
    let stored = in_the_store(store).await?;
    let identities = Identities::new(if stored.is_empty() { behind.clone() } else { stored });
    let (replaced, store) = (identities.clone(), store.clone());
    drop(rt.spawn(async move {
        // The first event is of what was there already.
        while watch.changed().await.is_ok() {
            match in_the_store(&store).await {
                Ok(stored) => {
                    let all = if stored.is_empty() { behind.clone() } else { stored };
                    let same = {
                        let old = replaced.all();
                        old.len() == all.len()
                            && old.iter().zip(&all).all(|(a, b)| a.certificates().eq(b.certificates()))
                    };
                    if !same {
                        fata_log::info!("{}: {} certificates from now on", STORE, all.len());
                        replaced.replace(all);
                    }
                }
                Err(error) => fata_log::warn!("{}, all stays as it was", error),
            }
        }
    }));
    Ok(identities)
}

/// Who the image says that we are.
fn behind_the_image(payload: &[u8]) -> Result<Option<Identity>, Error> {
    let Some(payload) = open(payload)? else { return Ok(None) };
    let member = |name| payload.member(name).map(|member| member.bytes);
    identity("behind the image", member(CERTIFICATE), member(KEY))
}

fn identity(place: &str, certificate: Option<&[u8]>, key: Option<&[u8]>) -> Result<Option<Identity>, Error> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => match Identity::from_pem_pair(certificate, key) {
            Ok(identity) => Ok(Some(identity)),
            Err(error) => Err(Error::Identity(place.into(), error)),
        },
        _ => Err(Error::Half(place.into())),
    }
}

/// Who Xenstore says that we are.
async fn in_the_store<P: Platform>(store: &Xenstore<P>) -> Result<Vec<Identity>, Error> {
    let texts = store.transaction(async |view| {
        let mut texts = Vec::new();
        let names = match view.directory(STORE).await {
            Err(StoreError::Store(Errno::ENOENT)) => Vec::new(),
            names => names?,
        };
        for name in names.into_iter().take(MOST) {
            let mut both = [None, None];
            for (text, node) in both.iter_mut().zip(["cert", "key"]) {
                let path = format!("{STORE}/{name}/{node}");
                let Some(own) = view.try_read(&path).await? else { continue };
                let mut all = Zeroizing::new(own);
                for piece in 0..MOST {
                    let Some(more) = view.try_read(&format!("{path}/{piece}")).await? else { break };
                    let more = Zeroizing::new(more);
                    let mut longer = Zeroizing::new(Vec::with_capacity(all.len() + more.len()));
                    longer.extend_from_slice(&all);
                    longer.extend_from_slice(&more);
                    all = longer;
                }
                *text = Some(all);
            }
            texts.push((name, both));
        }
        Ok(texts)
    });
    let mut identities = Vec::new();
    for (name, [certificate, key]) in texts.await? {
        let place = format!("{STORE}/{name}");
        let [certificate, key] = [&certificate, &key].map(|text| text.as_ref().map(|text| &text[..]));
        identities.extend(identity(&place, certificate, key)?);
    }
    Ok(identities)
}

/// Those whom the image says that we believe; `None` if it does not say.
pub fn trust(payload: &[u8]) -> Result<Option<Trust>, Error> {
    let Some(payload) = open(payload)? else { return Ok(None) };
    let Some(member) = payload.member(TRUST) else { return Ok(None) };
    Trust::pem(member.bytes).map(Some).map_err(Error::Trust)
}
