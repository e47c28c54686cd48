//! What each request does (`wire_funcs`, `tools/xenstored/core.c`).

use super::connection::{PAYLOAD_MAX, Watch};
use super::server::{DOM0, Server};
use super::tree::{ANY, Access, Errno, Fired, Limits, Match, Node, Perm, READ, Result, Transaction, Who};
use xen_hyp::DomId;

const OK: &[u8] = b"OK\0";

/// Requests that only a privileged domain may make.
const PRIVILEGED: [u32; 9] = [0, 8, 9, 17, 18, 19, 24, 25, 26];
/// Requests that ignore the transaction they come with.
const NO_TRANSACTION: [u32; 2] = [4, 5];

/// The quotas and their usual values (`quotas`, `tools/xenstored/domain.c`).
pub(super) const QUOTAS: [(&str, u32); 7] = [
    ("nodes", 1000),
    ("watches", 128),
    ("transactions", 10),
    ("transaction-nodes", 1024),
    ("node-permissions", 5),
    ("path-max", 2048),
    ("node-size", 2048),
];

impl Server {
    /// Performs a request and gives the reply's payload.
    pub(super) fn perform(&mut self, who: Who, kind: u32, tx: u32, payload: &[u8]) -> Result<Vec<u8>> {
        if PRIVILEGED.contains(&kind) && !who.privileged {
            return Err("EACCES");
        }
        let tx = if NO_TRANSACTION.contains(&kind) { 0 } else { tx };
        if tx != 0 && !self.connection(who).transactions.iter().any(|t| t.id == tx) {
            return Err("ENOENT");
        }
        let ok = OK.to_vec();
        match kind {
            1 => {
                let path = self.path(who, one(payload)?, false)?;
                let node = self.access(who, tx, |access| access.node(&path, READ))?;
                fits(node.children.iter().flat_map(|name| name.bytes().chain([0])).collect())
            }
            2 => {
                let path = self.path(who, one(payload)?, false)?;
                self.access(who, tx, |access| access.node(&path, READ)).map(|node| node.value)
            }
            3 => {
                let path = self.path(who, one(payload)?, true)?;
                let node = self.access(who, tx, |access| access.node(&path, READ))?;
                fits(node.perms.iter().flat_map(|perm| (perm.text() + "\0").into_bytes()).collect())
            }
            4 => self.watch(who, payload).map(|()| ok),
            5 => self.unwatch(who, payload).map(|()| ok),
            6 => self.start(who, tx).map(|id| format!("{id}\0").into_bytes()),
            7 => self.end(who, tx, one(payload)?).map(|()| ok),
            8 => self.introduce_by(payload).map(|()| ok),
            9 => self.release(domid(one(payload)?)?).map(|()| ok),
            10 => Ok(format!("/local/domain/{}\0", domid(one(payload)?)?).into_bytes()),
            11 => {
                let nul = payload.iter().position(|&byte| byte == 0).ok_or("EINVAL")?;
                let path = self.path(who, text(&payload[..nul])?, false)?;
                self.access(who, tx, |access| access.write(&path, &payload[nul + 1..])).map(|()| ok)
            }
            12 => {
                let path = self.path(who, one(payload)?, false)?;
                self.access(who, tx, |access| access.mkdir(&path)).map(|()| ok)
            }
            13 => {
                let path = self.path(who, one(payload)?, false)?;
                self.access(who, tx, |access| access.rm(&path)).map(|()| ok)
            }
            14 => self.set_perms(who, tx, payload).map(|()| ok),
            17 => {
                let known = self.connections.contains_key(&domid(one(payload)?)?);
                Ok(if known { b"T\0" } else { b"F\0" }.to_vec())
            }
            18 => {
                let dom = domid(one(payload)?)?;
                self.connections.get_mut(&dom).ok_or("ENOENT")?.shut_down = false;
                Ok(ok)
            }
            19 => match strings(payload)?[..] {
                [dom, target] => {
                    let known = |dom| domid(dom).map(|dom| self.connections.contains_key(&dom));
                    if known(dom)? && known(target)? { Ok(ok) } else { Err("ENOENT") }
                }
                _ => Err("EINVAL"),
            },
            21 => {
                let connection = self.connection(who);
                connection.watches.clear();
                connection.transactions.clear();
                Ok(ok)
            }
            22 => self.directory_part(who, tx, payload),
            23 => match strings(payload)?[..] {
                [] => Ok(format!("{}\0", self.features).into_bytes()),
                [_] if who.privileged => Ok(format!("{}\0", self.features).into_bytes()),
                [_] => Err("EACCES"),
                _ => Err("EINVAL"),
            },
            24 => match strings(payload)?[..] {
                [dom, _] if self.connections.contains_key(&domid(dom)?) => Err("EBUSY"),
                [_, _] => Ok(ok),
                _ => Err("EINVAL"),
            },
            25 => match strings(payload)?[..] {
                [] => Ok((QUOTAS.map(|(name, _)| name).join(" ") + "\0").into_bytes()),
                [name] => self.quota(None, name).map(|value| format!("{value}\0").into_bytes()),
                [dom, name] => {
                    self.quota(Some(domid(dom)?), name).map(|value| format!("{value}\0").into_bytes())
                }
                _ => Err("EINVAL"),
            },
            26 => match strings(payload)?[..] {
                [name, value] => self.set_quota(None, name, number(value)?).map(|()| ok),
                [dom, name, value] => self.set_quota(Some(domid(dom)?), name, number(value)?).map(|()| ok),
                _ => Err("EINVAL"),
            },
            _ => Err("ENOSYS"),
        }
    }

    /// The names of the nodes right below; none if there is no such node.
    pub(super) fn children(&mut self, path: &str) -> Vec<String> {
        self.access(DOM0, 0, |access| access.node(path, READ)).map_or(Vec::new(), |node| node.children)
    }

    /// Gives `f` access to the nodes, and tells watches of what it did.
    fn access<T>(&mut self, who: Who, tx: u32, f: impl FnOnce(&mut Access<'_>) -> Result<T>) -> Result<T> {
        let limit = |name| self.quota(Some(who.dom), name).unwrap() as usize;
        let limits = Limits {
            nodes: limit("nodes"),
            node_size: limit("node-size"),
            transaction_nodes: limit("transaction-nodes"),
        };
        let connection = self.connections.get_mut(&who.dom).expect("a connection");
        let transaction = connection.transactions.iter_mut().find(|t| t.id == tx);
        let mut access = Access { tree: &mut self.tree, transaction, who, limits, fired: Vec::new() };
        let result = f(&mut access);
        let fired = access.fired;
        if result.is_ok() {
            fired.iter().for_each(|fired| self.fire(fired));
        }
        result
    }

    /// `fire_watches`.
    pub(super) fn fire(&mut self, fired: &Fired) {
        let dedupe = self.dedupe;
        for (&dom, connection) in &mut self.connections {
            let who = Who { dom, privileged: dom == 0 || self.privileged.contains(&dom) };
            if fired.perms.iter().any(|perms| who.may(perms) & READ != 0) {
                connection.fire(fired, dedupe);
            }
        }
    }

    /// `fire_special_watches`.
    pub(super) fn fire_special(&mut self, name: &str, dom: u16) {
        let perms = vec![self.tree.perms(name).expect("a special node").to_vec()];
        self.fire(&Fired { path: name.into(), kind: Match::NoDepth, perms: perms.clone() });
        self.fire(&Fired { path: format!("{name}/{dom}"), kind: Match::Depth, perms });
    }

    /// `canonicalize`.
    fn path(&self, who: Who, path: &str, special: bool) -> Result<String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-/_@".contains(c);
        if !path.chars().all(allowed) || path.starts_with('@') && !special {
            return Err("EINVAL");
        }
        let whole = match path.starts_with(['/', '@']) {
            true => path.to_string(),
            false => format!("/local/domain/{}/{path}", who.dom),
        };
        let home = whole.strip_prefix("/local/domain/").and_then(|rest| rest.split_once('/'));
        let len =
            home.filter(|(dom, _)| dom.parse::<u16>().is_ok()).map_or(whole.len(), |(_, rest)| rest.len());
        let too_long = !who.privileged && len > self.quota(Some(who.dom), "path-max")? as usize;
        if whole.ends_with('/') && whole != "/" || whole.contains("//") || too_long {
            return Err("EINVAL");
        }
        Ok(whole)
    }

    /// `do_watch`; the reply comes before the first event, as the caller sees to.
    fn watch(&mut self, who: Who, payload: &[u8]) -> Result<()> {
        let (path, token, depth) = match strings(payload)?[..] {
            [path, token] => (path, token, None),
            [path, token, depth] if self.features & 4 != 0 => (path, token, Some(number(depth)?)),
            _ => return Err("EINVAL"),
        };
        let relative = !path.starts_with(['/', '@']);
        let path = self.path(who, path, true)?;
        let most = self.quota(Some(who.dom), "watches")? as usize;
        let hidden = if relative { format!("/local/domain/{}/", who.dom).len() } else { 0 };
        let connection = self.connection(who);
        if connection.watches.iter().any(|watch| watch.path == path && watch.token == token) {
            return Err("EEXIST");
        }
        if !who.privileged && connection.watches.len() >= most {
            return Err("ENOSPC");
        }
        connection.watches.push(Watch { path, token: token.into(), depth, hidden });
        Ok(())
    }

    fn unwatch(&mut self, who: Who, payload: &[u8]) -> Result<()> {
        let [path, token] = strings(payload)?[..] else { return Err("EINVAL") };
        let path = self.path(who, path, true)?;
        let watches = &mut self.connection(who).watches;
        let known = watches.iter().position(|watch| watch.path == path && watch.token == token);
        watches.remove(known.ok_or("ENOENT")?);
        Ok(())
    }

    fn start(&mut self, who: Who, tx: u32) -> Result<u32> {
        if tx != 0 {
            return Err("EBUSY");
        }
        let most = self.quota(Some(who.dom), "transactions")? as usize;
        let connection = self.connection(who);
        if !who.privileged && connection.transactions.len() >= most {
            return Err("ENOSPC");
        }
        loop {
            connection.next_transaction = connection.next_transaction.wrapping_add(1).max(1);
            let id = connection.next_transaction;
            if connection.transactions.iter().all(|t| t.id != id) {
                connection.transactions.push(Transaction::new(id));
                return Ok(id);
            }
        }
    }

    fn end(&mut self, who: Who, tx: u32, how: &str) -> Result<()> {
        if !["T", "F"].contains(&how) {
            return Err("EINVAL");
        }
        let transactions = &mut self.connection(who).transactions;
        let index = transactions.iter().position(|t| t.id == tx).ok_or("ENOENT")?;
        let transaction = transactions.remove(index);
        if how == "T" {
            let fired = self.tree.commit(transaction);
            self.conflicts += u64::from(matches!(fired, Err("EAGAIN")));
            fired?.iter().for_each(|fired| self.fire(fired));
        }
        Ok(())
    }

    fn set_perms(&mut self, who: Who, tx: u32, payload: &[u8]) -> Result<()> {
        let strings = strings(payload)?;
        let [path, entries @ ..] = &strings[..] else { return Err("EINVAL") };
        if entries.is_empty() {
            return Err("EINVAL");
        }
        if !who.privileged && entries.len() > self.quota(Some(who.dom), "node-permissions")? as usize {
            return Err("ENOSPC");
        }
        let perms: Option<Vec<Perm>> = entries.iter().map(|entry| Perm::parse(entry)).collect();
        let mut perms = perms.ok_or("EINVAL")?;
        for perm in &mut perms {
            perm.stale = perm.dom != ANY && self.world.find(DomId(perm.dom)).is_none();
        }
        if self.world.find(DomId(perms[0].dom)).is_none() {
            return Err("ENOENT");
        }
        let path = self.path(who, path, true)?;
        self.access(who, tx, |access| access.set_perms(&path, perms))
    }

    fn directory_part(&mut self, who: Who, tx: u32, payload: &[u8]) -> Result<Vec<u8>> {
        let [path, offset] = strings(payload)?[..] else { return Err("EINVAL") };
        let path = self.path(who, path, false)?;
        let node: Node = self.access(who, tx, |access| access.node(&path, READ))?;
        let list: Vec<u8> = node.children.iter().flat_map(|name| name.bytes().chain([0])).collect();
        let mut reply = format!("{}\0", node.generation()).into_bytes();
        let most = PAYLOAD_MAX - reply.len() - 1;
        let rest = list.get(number(offset)? as usize..).unwrap_or_default();
        // Whole names only, and one that is empty after the last.
        let end = if rest.len() < most {
            rest.len()
        } else {
            rest[..most].iter().rposition(|&b| b == 0).unwrap() + 1
        };
        reply.extend_from_slice(&rest[..end]);
        if end == rest.len() {
            reply.push(0);
        }
        Ok(reply)
    }

    fn introduce_by(&mut self, payload: &[u8]) -> Result<()> {
        let [dom, _page, port] = strings(payload)?[..] else { return Err("EINVAL") };
        let (dom, _) = (domid(dom)?, number(port)?);
        let domain = self.world.find(DomId(dom)).filter(|_| dom != 0).ok_or("EINVAL")?;
        self.introduce(&domain);
        Ok(())
    }

    /// The quota of a domain, or of those to come.
    pub(super) fn quota(&self, dom: Option<u16>, name: &str) -> Result<u32> {
        let find = |dom| self.quotas.iter().find(|((of, known), _)| (*of, &known[..]) == (dom, name));
        let of_domain = dom.and_then(|dom| find(Some(dom)));
        let set = of_domain.or_else(|| find(None)).map(|(_, value)| value);
        let usual = QUOTAS.iter().find(|(known, _)| *known == name).ok_or("EINVAL")?.1;
        // Zero is none.
        Ok(match set.copied().unwrap_or(usual) {
            0 => u32::MAX,
            value => value,
        })
    }

    pub(super) fn set_quota(&mut self, dom: Option<u16>, name: &str, value: u32) -> Result<()> {
        self.quota(dom, name)?;
        self.quotas.insert((dom, name.into()), value);
        Ok(())
    }
}

fn fits(payload: Vec<u8>) -> Result<Vec<u8>> {
    if payload.len() <= PAYLOAD_MAX { Ok(payload) } else { Err("E2BIG") }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| "EINVAL")
}

/// `get_strings`: each ends with a NUL.
fn strings(payload: &[u8]) -> Result<Vec<&str>> {
    let whole = payload.split_inclusive(|&byte| byte == 0).filter_map(|part| part.strip_suffix(b"\0"));
    whole.map(text).collect()
}

/// `onearg`: exactly one.
fn one(payload: &[u8]) -> Result<&str> {
    match strings(payload)?[..] {
        [one] if payload.len() == one.len() + 1 => Ok(one),
        _ => Err("EINVAL"),
    }
}

fn number(text: &str) -> Result<u32> {
    text.parse().map_err(|_| -> Errno { "EINVAL" })
}

fn domid(text: &str) -> Result<u16> {
    text.parse().map_err(|_| -> Errno { "EINVAL" })
}
