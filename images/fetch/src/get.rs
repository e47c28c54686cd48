//! Gets one thing.

use crate::options::Wish;
use alloc::vec;
use core::fmt;
use fata_conduit::{Address, Conduit, Error as StreamError, Outside};
use fata_http::{BadRedirect, Client, Error, Limits, Method, Redirects, Status, Url};
use fata_rt::Rt;
use sha2::{Digest as _, Sha256};

/// What is read at once, at most.
const PIECE: usize = 8 << 10;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// How it went.
    pub status: Status,
    /// Where it was at last.
    pub url: Url,
    /// Bytes of it.
    pub len: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

/// Why nothing came, or not all.
#[derive(Clone, Debug)]
pub enum Failed<E> {
    /// There is no stream.
    Stream(StreamError<E>),
    /// HTTP over it.
    Http(Error),
    /// It leads on, but not where we follow.
    Redirect(BadRedirect),
    /// It took too long.
    Late,
}

impl<E: fmt::Display> fmt::Display for Failed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => write!(f, "{error}"),
            Self::Http(error) => write!(f, "{error}"),
            Self::Redirect(error) => write!(f, "{error}"),
            Self::Late => f.write_str("it took too long"),
        }
    }
}

impl<E> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Http(error)
    }
}

/// Gets what a URL names, following redirects. `take` is given what comes, piece by piece.
pub async fn get<O: Outside>(
    rt: &Rt,
    conduit: &Conduit<O>,
    url: &Url,
    wish: &Wish,
    take: impl FnMut(&[u8]),
) -> Result<Got, Failed<O::Error>> {
    let got = rt.timeout(wish.time, follow(rt, conduit, url, wish, take)).await;
    got.unwrap_or(Err(Failed::Late))
}

async fn follow<O: Outside>(
    rt: &Rt,
    conduit: &Conduit<O>,
    url: &Url,
    wish: &Wish,
    mut take: impl FnMut(&[u8]),
) -> Result<Got, Failed<O::Error>> {
    let limits = Limits { body: u64::MAX, ..Limits::default() };
    let mut redirects = Redirects::new(wish.follow);
    let mut url = url.clone();
    loop {
        let address = wish.via.clone().unwrap_or_else(|| address(&url));
        let stream = conduit.connect(&address).await.map_err(Failed::Stream)?;
        let mut client = Client::new(rt, &stream, limits);
        let mut answer =
            client.request(Method::Get, &url).header("User-Agent", "fata-fetch").close().send().await?;
        let status = answer.status();
        let next = redirects.follow(&url, Method::Get, status, answer.header("Location"));
        if let Some(next) = next.map_err(Failed::Redirect)? {
            let _ = stream.finish().await;
            url = next.url;
            continue;
        }
        let (mut buffer, mut len, mut sum) = (vec![0; PIECE], 0, Sha256::new());
        loop {
            let count = answer.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            take(&buffer[..count]);
            sum.update(&buffer[..count]);
            len += count as u64;
        }
        // All is here: who does not hear that we are done has been heard.
        let _ = stream.finish().await;
        return Ok(Got { status, url, len, sha256: sum.finalize().into() });
    }
}

/// Where a URL's host is.
fn address(url: &Url) -> Address {
    let (host, port) = (url.host().trim_matches(['[', ']']).into(), url.port());
    if url.is_https() { Address::Tls { host, port } } else { Address::Tcp { host, port } }
}
