//! Which handler: by method, and by patterns of paths.

use crate::error::Error;
use crate::exchange::Exchange;
use crate::method::Method;
use crate::request::Request;
use crate::status::Status;
use alloc::string::String;
use embedded_io_async::{Read, Write};

/// What a path must be: parts between slashes, of which `{}` is any part that is not empty, and `{*}`, at the end, all that is
/// left. Gives what stands in their places, in order; places beyond there are stay empty, and more than `N` are no match.
///
/// ```
/// # use fata_http::matches;
/// assert_eq!(matches("/notes/{}/{}", "/notes/7/title"), Some(["7", "title"]));
/// assert_eq!(matches("/files/{*}", "/files/a/b.txt"), Some(["a/b.txt"]));
/// assert_eq!(matches::<1>("/notes/{}", "/notes/"), None);
/// ```
pub fn matches<'a, const N: usize>(pattern: &str, path: &'a str) -> Option<[&'a str; N]> {
    let mut places = [""; N];
    let mut free = places.iter_mut();
    let (mut pattern, mut path) = (Some(pattern), Some(path));
    loop {
        let (Some(wanted), Some(found)) = (pattern, path) else {
            return (pattern.is_none() && path.is_none()).then_some(places);
        };
        if wanted == "{*}" {
            *free.next()? = found;
            return Some(places);
        }
        let (part, rest) = cut(found);
        let (wanted, wanted_rest) = cut(wanted);
        match wanted {
            "{}" if !part.is_empty() => *free.next()? = part,
            wanted if wanted == part => {}
            _ => return None,
        }
        (pattern, path) = (wanted_rest, rest);
    }
}

fn cut(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(part, rest)| (part, Some(rest)))
}

/// A table of routes: methods, patterns as of [`matches()`], and what they stand for. The first that fits counts. `GET` is
/// `HEAD` as well, and `OPTIONS` is answered from the table.
///
/// ```
/// # use fata_http::{Error, Exchange, Method, Request, Routes, Status};
/// # use embedded_io_async::{Read, Write};
/// #[derive(Clone, Copy)]
/// enum Page { Home, Note }
///
/// const ROUTES: Routes<Page> = Routes(&[
///     (Method::Get, "/", Page::Home),
///     (Method::Get, "/notes/{}", Page::Note),
///     (Method::Put, "/notes/{}", Page::Note),
/// ]);
///
/// async fn handle<T: Read + Write>(request: &Request<'_>, exchange: &mut Exchange<'_, T>) -> Result<(), Error> {
///     match ROUTES.find(request) {
///         Ok((Page::Home, _)) => exchange.reply(Status::OK).body(b"home").await,
///         Ok((Page::Note, [id])) => exchange.reply(Status::OK).header("X-Note", id).empty().await,
///         Err(none) => none.answer(exchange).await,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Routes<R: 'static>(pub &'static [(Method, &'static str, R)]);

/// No route fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No pattern does.
    Path,
    /// The method does not; these would, as bits in the order of [`Method`].
    Method(u16),
    /// What may be done there is to be told: these.
    Options(u16),
    /// Nobody knows such a method.
    Unknown,
}

impl<R: Copy> Routes<R> {
    /// What a request is for, and what stands in the pattern's places.
    pub fn find<'a, const N: usize>(&self, request: &Request<'a>) -> Result<(R, [&'a str; N]), NoRoute> {
        let mut allowed = 0;
        let wanted = match request.method {
            Method::Head => Method::Get,
            method => method,
        };
        for (method, pattern, route) in self.0 {
            // Of `OPTIONS *`, everything.
            let places = match request.path {
                "*" => Some([""; N]),
                path => matches(pattern, path),
            };
            let Some(places) = places else { continue };
            if *method == request.method || *method == wanted {
                return Ok((*route, places));
            }
            allowed |= bit(*method);
            if *method == Method::Get {
                allowed |= bit(Method::Head);
            }
        }
        Err(match request.method {
            Method::Other => NoRoute::Unknown,
            _ if allowed == 0 => NoRoute::Path,
            Method::Options => NoRoute::Options(allowed),
            _ => NoRoute::Method(allowed),
        })
    }
}

fn bit(method: Method) -> u16 {
    1 << method as u16
}

/// All that are not `Other`.
const METHODS: [Method; 9] = [
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Patch,
    Method::Options,
    Method::Trace,
    Method::Connect,
];

impl NoRoute {
    /// Says so: with 404, 405, 501, or for `OPTIONS` with what may be done.
    pub async fn answer<T: Read + Write>(self, exchange: &mut Exchange<'_, T>) -> Result<(), Error> {
        let (status, allowed) = match self {
            Self::Path => return Err(Status::NOT_FOUND.into()),
            Self::Unknown => return Err(Status::NOT_IMPLEMENTED.into()),
            Self::Method(allowed) => (Status::METHOD_NOT_ALLOWED, allowed),
            Self::Options(allowed) => (Status::NO_CONTENT, allowed),
        };
        let mut names = String::new();
        for method in METHODS {
            if (allowed | bit(Method::Options)) & bit(method) != 0 {
                names.push_str(if names.is_empty() { "" } else { ", " });
                names.push_str(method.name());
            }
        }
        exchange.reply(status).header("Allow", &names).empty().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        assert_eq!(matches("/", "/"), Some([]));
        assert_eq!(matches::<0>("/", "/a"), None);
        assert_eq!(matches::<0>("/a", "/"), None);
        assert_eq!(matches("/a/{}", "/a/b"), Some(["b"]));
        assert_eq!(matches("/a/{}", "/a/b"), Some(["b", ""]));
        assert_eq!(matches::<1>("/a/{}", "/a/b/c"), None);
        assert_eq!(matches::<1>("/a/{}", "/a/b/"), None);
        assert_eq!(matches::<1>("/a/{}/c/{}", "/a/b/c/d"), None);
        assert_eq!(matches("/{}/x", "/a/x"), Some(["a"]));
        assert_eq!(matches("/{*}", "/"), Some([""]));
        assert_eq!(matches("/a/{*}", "/a/b//c/"), Some(["b//c/"]));
        assert_eq!(matches::<1>("/a/{*}", "/a"), None);
        assert_eq!(matches::<1>("/{x}", "/a"), None);
    }
}
