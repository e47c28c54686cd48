//! Pages as answers.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use fata_http::{Error, Exchange, Method, Request, Status, Stored, encoding};
use fata_site::{Encoding, File, Found, Site, Variant};

use embedded_io_async::{Read, Write};

/// What was worked out for so many pages is kept.
const KEPT_MAX: usize = 256;

/// A site, with what was worked out of it.
pub struct Pages {
    site: Site<'static>,
    /// What is said of variants, by their numbers, in their order.
    kept: RefCell<Vec<(usize, Rc<Stored>)>>,
}

impl Pages {
    /// Those of this site.
    pub fn new(site: Site<'static>) -> Self {
        Self { site, kept: RefCell::default() }
    }

    /// Answers with what the path leads to.
    pub async fn answer<T: Read + Write>(
        &self,
        request: &Request<'_>,
        exchange: &mut Exchange<'_, T>,
    ) -> Result<(), Error> {
        if !matches!(request.method, Method::Get | Method::Head) {
            return exchange.reply(Status::METHOD_NOT_ALLOWED).header("Allow", "GET, HEAD").empty().await;
        }
        match self.site.find(request.path) {
            Found::File(file) => {
                let variant = choose(&file, request);
                let stored = self.stored(&file, &variant)?;
                stored.answer(request, exchange, variant.bytes).await
            }
            Found::Redirect(redirect) => {
                let status = Status::new(redirect.status).unwrap_or(Status::FOUND);
                let mut place = alloc::format!("{redirect}");
                if let Some(query) = request.query.filter(|_| !place.contains('?')) {
                    place.push('?');
                    place.push_str(query);
                }
                exchange.reply(status).header("Location", &place).empty().await
            }
            Found::Missing(None) => exchange.answer(Status::NOT_FOUND).await,
            Found::Missing(Some(file)) => {
                let variant = choose(&file, request);
                let reply = exchange.reply(Status::NOT_FOUND).header("Content-Type", file.mime);
                let mut reply = lines(&file).fold(reply, |reply, (name, value)| reply.header(name, value));
                if file.variants().count() > 1 {
                    reply = reply.header("Vary", "Accept-Encoding");
                }
                if variant.encoding != Encoding::Identity {
                    reply = reply.header("Content-Encoding", variant.encoding.name());
                }
                reply.body(variant.bytes).await
            }
        }
    }

    /// What is said of a variant.
    fn stored(&self, file: &File<'static>, variant: &Variant<'static>) -> Result<Rc<Stored>, Error> {
        let mut kept = self.kept.borrow_mut();
        let place = kept.binary_search_by_key(&variant.number, |(number, _)| *number);
        if let Some((_, stored)) = place.ok().and_then(|at| kept.get(at)) {
            return Ok(stored.clone());
        }
        let mut stored = Stored::new(file.mime)?.etag(variant.etag)?;
        // Who packed it may not have known.
        if self.site.changed() > 0 {
            stored = stored.modified(self.site.changed())?;
        }
        if variant.encoding != Encoding::Identity {
            stored = stored.encoding(variant.encoding.name())?;
        }
        if file.variants().count() > 1 {
            stored = stored.header("Vary", "Accept-Encoding")?;
        }
        for (name, value) in lines(file) {
            stored = stored.header(name, value)?;
        }
        let stored = Rc::new(stored);
        // With more of them all of them are worked out again.
        let mut at = place.unwrap_or_else(|at| at);
        if kept.len() >= KEPT_MAX {
            kept.clear();
            at = 0;
        }
        kept.insert(at, (variant.number, stored.clone()));
        Ok(stored)
    }
}

/// The form that the client wants most, the shortest first.
fn choose(file: &File<'static>, request: &Request<'_>) -> Variant<'static> {
    const OFFERED: [Encoding; 2] = [Encoding::Brotli, Encoding::Gzip];
    let there = OFFERED.map(|encoding| file.variant(encoding));
    let names = OFFERED.map(Encoding::name);
    // One that there is not is offered by no name.
    let offered = [0, 1].map(|at| if there[at].is_some() { names[at] } else { "" });
    let wanted = encoding(request.fields, &offered).and_then(|at| there[at]);
    wanted.unwrap_or_else(|| file.plain())
}

/// More header lines of a file.
fn lines(file: &File<'static>) -> impl Iterator<Item = (&'static str, &'static str)> {
    file.headers.split("\r\n").filter_map(|line| line.split_once(": "))
}
