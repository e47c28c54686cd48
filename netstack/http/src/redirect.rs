//! Where redirects lead (RFC 9110 section 15.4).

use crate::method::Method;
use crate::status::Status;
use crate::url::Url;
use core::fmt;

/// How many redirects are followed, and which not.
#[derive(Clone, Copy, Debug)]
pub struct Redirects {
    left: u32,
    may_downgrade: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Where to ask.
    pub url: Url,
    /// With which method.
    pub method: Method,
    /// Whether with the body, if there was one.
    pub keeps_body: bool,
    /// Whether it is another host, which must not learn of passwords and cookies.
    pub is_foreign: bool,
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRedirect {
    /// There were too many.
    TooMany,
    /// It says not where to, or nothing that is understood.
    Nowhere,
    /// It leads from https to http.
    Downgrade,
}

impl Redirects {
    /// At most so many, and never from https to http.
    pub fn new(most: u32) -> Self {
        Self { left: most, may_downgrade: false }
    }

    /// From https to http as well.
    pub fn with_downgrades(self) -> Self {
        Self { may_downgrade: true, ..self }
    }

    /// Where an answer with this `Location` leads. `None` if it is no redirect.
    pub fn follow(
        &mut self,
        url: &Url,
        method: Method,
        status: Status,
        location: Option<&str>,
    ) -> Result<Option<Redirect>, BadRedirect> {
        let keeps = match status {
            Status::MOVED_PERMANENTLY | Status::FOUND => method != Method::Post,
            Status::SEE_OTHER => matches!(method, Method::Get | Method::Head),
            Status::TEMPORARY_REDIRECT | Status::PERMANENT_REDIRECT => true,
            _ => return Ok(None),
        };
        self.left = self.left.checked_sub(1).ok_or(BadRedirect::TooMany)?;
        let location = location.ok_or(BadRedirect::Nowhere)?;
        let to = url.join(location).map_err(|_| BadRedirect::Nowhere)?;
        if url.is_https() && !to.is_https() && !self.may_downgrade {
            return Err(BadRedirect::Downgrade);
        }
        let is_foreign = !to.has_origin_of(url);
        let method = if keeps { method } else { Method::Get };
        Ok(Some(Redirect { url: to, method, keeps_body: keeps, is_foreign }))
    }
}

impl Default for Redirects {
    fn default() -> Self {
        Self::new(10)
    }
}

impl fmt::Display for BadRedirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "there are too many redirects",
            Self::Nowhere => "a redirect leads nowhere",
            Self::Downgrade => "a redirect leads from https to http",
        })
    }
}

impl core::error::Error for BadRedirect {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_followed_as_far_as_is_good() {
        let url = Url::parse("https://a/b?c").unwrap();
        let follow =
            |method, status, location: &str| Redirects::new(1).follow(&url, method, status, Some(location));
        let ok = |method, status, location: &str| follow(method, status, location).unwrap().unwrap();
        let there = ok(Method::Get, Status::FOUND, "/d");
        assert_eq!((there.url.to_string().as_str(), there.method), ("https://a/d", Method::Get));
        assert!(there.keeps_body && !there.is_foreign);
        assert!(ok(Method::Get, Status::FOUND, "//b/").is_foreign);
        for (status, method, next, keeps_body) in [
            (Status::FOUND, Method::Post, Method::Get, false),
            (Status::MOVED_PERMANENTLY, Method::Post, Method::Get, false),
            (Status::MOVED_PERMANENTLY, Method::Put, Method::Put, true),
            (Status::SEE_OTHER, Method::Put, Method::Get, false),
            (Status::SEE_OTHER, Method::Head, Method::Head, true),
            (Status::TEMPORARY_REDIRECT, Method::Post, Method::Post, true),
            (Status::PERMANENT_REDIRECT, Method::Post, Method::Post, true),
        ] {
            let to = ok(method, status, "x");
            assert_eq!((to.method, to.keeps_body), (next, keeps_body), "{status} {method:?}");
        }
        assert_eq!(follow(Method::Get, Status::OK, "/"), Ok(None));
        assert_eq!(follow(Method::Get, Status::NOT_MODIFIED, "/"), Ok(None));
        assert_eq!(follow(Method::Get, Status::FOUND, "http://a/"), Err(BadRedirect::Downgrade));
        assert_eq!(follow(Method::Get, Status::FOUND, "ftp://a/"), Err(BadRedirect::Nowhere));
        let mut redirects = Redirects::new(2).with_downgrades();
        let mut next = || redirects.follow(&url, Method::Get, Status::FOUND, Some("http://a/"));
        assert!(next().is_ok() && next().is_ok());
        assert_eq!(next(), Err(BadRedirect::TooMany));
    }
}
