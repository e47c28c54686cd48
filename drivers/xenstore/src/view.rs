//! The nodes, as one sees them outside of transactions or within one.

use crate::client::{Client, Tx};
use crate::error::Error;
use crate::link::Link;
use crate::path::{check, check_special};
use crate::perms::Perms;
use crate::wire::{Decimal, Op, until_nul};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use xen_hyp::Platform;

/// Times that a long directory is read again because it changed meanwhile.
const DIRECTORY_TRIES: usize = 16;
/// The longest directory, in bytes of names: room for as many domains as Xen can have in `/local/domain`, and a
/// bound for what a server can make us keep.
const DIRECTORY_MAX: usize = 256 * 1024;

/// The tree of nodes. [`Xenstore`](crate::Xenstore) and [`Transaction`](crate::Transaction) are such views, and
/// what works on both takes a `&View`.
///
/// A path is absolute, or relative to this domain's own directory, `/local/domain/ID`. While there is no server
/// all of these wait; a future that is dropped leaves nothing behind.
pub struct View<P: Platform> {
    pub(crate) link: Rc<Link<P>>,
    pub(crate) tx: Tx,
}

impl<P: Platform> View<P> {
    /// The value of a node.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        check(path)?;
        self.ask(Op::Read, &[path.as_bytes(), b"\0"]).await
    }

    /// The same, if there is such a node.
    pub async fn try_read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        found(self.read(path).await)
    }

    /// The value of a node, which must be text.
    pub async fn read_string(&self, path: &str) -> Result<String, Error> {
        String::from_utf8(self.read(path).await?).map_err(|_| Error::BadValue)
    }

    /// The same, if there is such a node.
    pub async fn try_read_string(&self, path: &str) -> Result<Option<String>, Error> {
        found(self.read_string(path).await)
    }

    /// The value of a node, which must be a decimal number.
    pub async fn read_number<T: FromStr>(&self, path: &str) -> Result<T, Error> {
        self.read_string(path).await?.parse().map_err(|_| Error::BadValue)
    }

    /// The same, if there is such a node.
    pub async fn try_read_number<T: FromStr>(&self, path: &str) -> Result<Option<T>, Error> {
        found(self.read_number(path).await)
    }

    /// Sets the value of a node, which is made if need be, as are those above it.
    pub async fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        check(path)?;
        self.tell(Op::Write, &[path.as_bytes(), b"\0", value.as_ref()]).await
    }

    /// Makes a node, and those above it, unless it is there.
    pub async fn mkdir(&self, path: &str) -> Result<(), Error> {
        check(path)?;
        self.tell(Op::Mkdir, &[path.as_bytes(), b"\0"]).await
    }

    /// Removes a node with all below it, if it is there. The one above must be.
    pub async fn rm(&self, path: &str) -> Result<(), Error> {
        check(path)?;
        self.tell(Op::Rm, &[path.as_bytes(), b"\0"]).await
    }

    /// The names of the nodes right below.
    pub async fn directory(&self, path: &str) -> Result<Vec<String>, Error> {
        check(path)?;
        match self.ask(Op::Directory, &[path.as_bytes(), b"\0"]).await {
            Ok(list) => names(&list),
            Err(Error::Store(crate::Errno::E2BIG)) => self.long_directory(path).await,
            Err(error) => Err(error),
        }
    }

    /// Reads a directory in parts, again from the start if it changes meanwhile.
    async fn long_directory(&self, path: &str) -> Result<Vec<String>, Error> {
        for _ in 0..DIRECTORY_TRIES {
            let (mut list, mut generation) = (Vec::new(), None);
            loop {
                let offset = Decimal::new(list.len() as u32);
                let request = [path.as_bytes(), b"\0", offset.bytes(), b"\0"];
                let reply = self.ask(Op::DirectoryPart, &request).await?;
                let end = reply.iter().position(|&byte| byte == 0).ok_or(Error::Corrupt)?;
                let (this, part) = (&reply[..end], &reply[end + 1..]);
                if *generation.get_or_insert_with(|| this.to_vec()) != this {
                    break;
                }
                // An empty name says that this was all.
                let (part, last) = match part {
                    [0] => (&[][..], true),
                    [names @ .., 0] if names.ends_with(b"\0") => (names, true),
                    [.., 0] => (part, false),
                    _ => return Err(Error::Corrupt),
                };
                list.extend_from_slice(part);
                if last {
                    return names(&list);
                }
                if list.len() > DIRECTORY_MAX {
                    return Err(Error::AnswerTooLong);
                }
            }
        }
        Err(Error::EAGAIN)
    }

    /// Who may do what with a node, or with one of the special watches.
    pub async fn perms(&self, path: &str) -> Result<Perms, Error> {
        check_special(path)?;
        Perms::decode(&self.ask(Op::GetPerms, &[path.as_bytes(), b"\0"]).await?)
    }

    /// Sets it.
    pub async fn set_perms(&self, path: &str, perms: &Perms) -> Result<(), Error> {
        check_special(path)?;
        self.tell(Op::SetPerms, &[path.as_bytes(), b"\0", &perms.encode()]).await
    }

    /// Sends a request that is answered by no more than that it was done.
    pub(crate) async fn tell(&self, op: Op, payload: &[&[u8]]) -> Result<(), Error> {
        self.ask(op, payload).await.map(|_| ())
    }

    /// Sends a request and waits for the reply.
    pub(crate) async fn ask(&self, op: Op, payload: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let ticket = self.client().place().claim(op, self.tx, payload).await?;
        self.link.send();
        ticket.reply().await
    }

    pub(crate) fn client(&self) -> &Rc<Client> {
        &self.link.client
    }
}

impl<P: Platform> fmt::Debug for View<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("tx", &self.tx.id).field("state", &self.client().state()).finish()
    }
}

fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Splits names, each with a NUL after it.
fn names(list: &[u8]) -> Result<Vec<String>, Error> {
    let name = |name: &[u8]| {
        let name = core::str::from_utf8(name.strip_suffix(b"\0")?).ok()?;
        (!name.is_empty()).then(|| name.into())
    };
    let names: Option<_> = list.split_inclusive(|&byte| byte == 0).map(name).collect();
    names.ok_or(Error::Corrupt)
}

/// The one text of a reply.
pub(crate) fn text(reply: Vec<u8>) -> Result<String, Error> {
    core::str::from_utf8(until_nul(&reply)).map(Into::into).map_err(|_| Error::Corrupt)
}
