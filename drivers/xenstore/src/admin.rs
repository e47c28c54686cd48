//! What toolstacks do, and who looks after a store. Most of it is for privileged domains only.

use crate::Xenstore;
use crate::client::domain;
use crate::error::Error;
use crate::state::Features;
use crate::view::text;
use crate::wire::{Decimal, Op, number, until_nul};
use alloc::string::String;
use alloc::vec::Vec;
use xen_hyp::{DomId, Gfn, Platform, Port};

impl<P: Platform> Xenstore<P> {
    /// The directory of a domain, to which its relative paths refer.
    pub async fn domain_path(&self, dom: DomId) -> Result<String, Error> {
        text(self.ask(Op::GetDomainPath, &[domain(dom).bytes(), b"\0"]).await?)
    }

    /// Whether the server talks to this domain.
    pub async fn is_domain_introduced(&self, dom: DomId) -> Result<bool, Error> {
        let reply = self.ask(Op::IsDomainIntroduced, &[domain(dom).bytes(), b"\0"]).await?;
        match until_nul(&reply) {
            b"T" => Ok(true),
            b"F" => Ok(false),
            _ => Err(Error::Corrupt),
        }
    }

    /// Makes the server talk to a domain, through the page at this frame of it and the port it has for that.
    pub async fn introduce(&self, dom: DomId, page: Gfn, port: Port) -> Result<(), Error> {
        // The protocol's frame numbers are `int`s.
        let frame = u32::try_from(page.0).ok().filter(|&frame| frame <= i32::MAX as u32);
        let (dom, frame, port) =
            (domain(dom), Decimal::new(frame.ok_or(Error::BadValue)?), Decimal::new(port.0));
        let payload = [dom.bytes(), b"\0", frame.bytes(), b"\0", port.bytes(), b"\0"];
        self.tell(Op::Introduce, &payload).await
    }

    /// Makes it stop that.
    pub async fn release(&self, dom: DomId) -> Result<(), Error> {
        self.tell(Op::Release, &[domain(dom).bytes(), b"\0"]).await
    }

    /// Says that a domain that shut down runs again.
    pub async fn resume(&self, dom: DomId) -> Result<(), Error> {
        self.tell(Op::Resume, &[domain(dom).bytes(), b"\0"]).await
    }

    /// Gives a domain the rights of another.
    pub async fn set_target(&self, dom: DomId, target: DomId) -> Result<(), Error> {
        self.tell(Op::SetTarget, &[domain(dom).bytes(), b"\0", domain(target).bytes(), b"\0"]).await
    }

    /// What the server can do for a domain; `None` is this one.
    pub async fn feature(&self, dom: Option<DomId>) -> Result<Features, Error> {
        let reply = match dom {
            Some(dom) => self.ask(Op::GetFeature, &[domain(dom).bytes(), b"\0"]).await?,
            None => self.ask(Op::GetFeature, &[]).await?,
        };
        number(until_nul(&reply)).map(Features).ok_or(Error::Corrupt)
    }

    /// Sets what it will do for a domain that it does not talk to yet.
    pub async fn set_feature(&self, dom: DomId, features: Features) -> Result<(), Error> {
        let features = Decimal::new(features.0);
        self.tell(Op::SetFeature, &[domain(dom).bytes(), b"\0", features.bytes(), b"\0"]).await
    }

    /// The names of the quotas there are.
    pub async fn quotas(&self) -> Result<Vec<String>, Error> {
        let names = text(self.ask(Op::GetQuota, &[]).await?)?;
        Ok(names.split_ascii_whitespace().map(Into::into).collect())
    }

    /// A quota of a domain; `None` is those to come. Zero is none.
    pub async fn quota(&self, dom: Option<DomId>, name: &str) -> Result<u32, Error> {
        let reply = self.ask_quota(Op::GetQuota, dom, &[name.as_bytes(), b"\0"]).await?;
        number(until_nul(&reply)).ok_or(Error::Corrupt)
    }

    /// Sets it.
    pub async fn set_quota(&self, dom: Option<DomId>, name: &str, value: u32) -> Result<(), Error> {
        let value = Decimal::new(value);
        let payload = [name.as_bytes(), b"\0", value.bytes(), b"\0"];
        self.ask_quota(Op::SetQuota, dom, &payload).await.map(|_| ())
    }

    async fn ask_quota(&self, op: Op, dom: Option<DomId>, payload: &[&[u8]]) -> Result<Vec<u8>, Error> {
        // What is a string for us must be one for the server.
        if payload[0].contains(&0) {
            return Err(Error::BadValue);
        }
        let dom = dom.map(domain);
        let first: &[&[u8]] = match &dom {
            Some(dom) => &[dom.bytes(), b"\0"],
            None => &[],
        };
        self.ask(op, &[first, payload].concat()).await
    }
}
