//! The nodes, who may do what with them, and transactions (`tools/xenstored/core.c`, `transaction.c`).

use std::collections::BTreeMap;

/// A name of `xsd_errors`.
pub(super) type Errno = &'static str;
pub(super) type Result<T> = core::result::Result<T, Errno>;

/// `DOMID_ANY`.
pub(super) const ANY: u16 = 0x7ff5;

pub(super) const READ: u8 = 1;
pub(super) const WRITE: u8 = 2;
pub(super) const OWNER: u8 = 4;

/// An entry of a node's permissions; the first is the owner's, and says what others may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Perm {
    pub(super) dom: u16,
    pub(super) bits: u8,
    /// It was given before there was such a domain, and so means none that came later (`chk_domain_generation`).
    pub(super) stale: bool,
}

impl Perm {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bits = match text.chars().next()? {
            'n' => 0,
            'r' => READ,
            'w' => WRITE,
            'b' => READ | WRITE,
            _ => return None,
        };
        Some(Self { dom: text[1..].parse().ok()?, bits, stale: false })
    }

    pub(super) fn text(self) -> String {
        format!("{}{}", ["n", "r", "w", "b"][usize::from(self.bits & 3)], self.dom)
    }
}

/// Somebody who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) dom: u16,
    pub(super) privileged: bool,
}

impl Who {
    /// `perm_for_conn`.
    pub(super) fn may(self, perms: &[Perm]) -> u8 {
        let matches = |perm: &Perm| (perm.dom == self.dom || perm.dom == ANY) && !perm.stale;
        if self.privileged || matches(&perms[0]) {
            return READ | WRITE | OWNER;
        }
        perms[1..].iter().find(|perm| matches(perm)).unwrap_or(&perms[0]).bits
    }
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Vec<u8>,
    pub(super) perms: Vec<Perm>,
    pub(super) children: Vec<String>,
    generation: u64,
}

impl Node {
    pub(super) fn new(perms: Vec<Perm>) -> Self {
        Self { value: Vec::new(), perms, children: Vec::new(), generation: 0 }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// `calc_node_acc_size`.
    fn size(&self) -> usize {
        let names: usize = self.children.iter().map(|name| name.len() + 1).sum();
        16 + 8 * self.perms.len() + self.value.len() + names
    }
}

/// Which watches a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Of this node.
    Exact,
    /// Of this node or one above.
    Subtree,
    /// A special event that names its domain.
    Depth,
    /// A special event that does not.
    NoDepth,
}

/// A change that watches are to be told of.
#[derive(Clone, Debug)]
pub(super) struct Fired {
    pub(super) path: String,
    pub(super) kind: Match,
    /// Whoever may read by one of these is told.
    pub(super) perms: Vec<Vec<Perm>>,
}

/// What a domain may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) nodes: usize,
    pub(super) node_size: usize,
    pub(super) transaction_nodes: usize,
}

#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    generation: u64,
}

/// What a transaction knows of a node.
#[derive(Clone, Debug)]
struct Accessed {
    node: Option<Node>,
    /// The generation that was seen, `None` if there was no such node; it must still be that at the end.
    saw: Option<u64>,
    before: Option<Vec<Perm>>,
    modified: bool,
    fire: Option<Match>,
}

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: u32,
    accessed: BTreeMap<String, Accessed>,
    failed: bool,
}

impl Transaction {
    pub(super) fn new(id: u32) -> Self {
        Self { id, accessed: BTreeMap::new(), failed: false }
    }
}

pub(super) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => &path[..slash],
    }
}

pub(super) fn base(path: &str) -> &str {
    &path[path.rfind('/').map_or(0, |slash| slash + 1)..]
}

fn child(path: &str, name: &str) -> String {
    if path == "/" { format!("/{name}") } else { format!("{path}/{name}") }
}

impl Tree {
    pub(super) fn new() -> Self {
        let own = Perm { dom: 0, bits: 0, stale: false };
        let mut root = Node::new(vec![own]);
        root.children.push("tool".into());
        let mut tool = Node::new(vec![own]);
        tool.children.push("xenstored".into());
        let mut nodes = BTreeMap::new();
        nodes.insert("/".into(), root);
        nodes.insert("/tool".into(), tool);
        nodes.insert("/tool/xenstored".into(), Node::new(vec![own]));
        nodes.insert(
            "@releaseDomain".into(),
            Node::new(vec![own, Perm { dom: ANY, bits: READ, stale: false }]),
        );
        nodes.insert("@introduceDomain".into(), Node::new(vec![own]));
        Self { nodes, generation: 1 }
    }

    pub(super) fn perms(&self, path: &str) -> Option<&[Perm]> {
        self.nodes.get(path).map(|node| &node.perms[..])
    }

    /// The paths of a domain's own nodes.
    pub(super) fn owned(&self, dom: u16) -> Vec<String> {
        self.nodes.iter().filter(|(_, node)| node.perms[0].dom == dom).map(|(path, _)| path.clone()).collect()
    }

    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// `finalize_transaction`.
    pub(super) fn commit(&mut self, transaction: Transaction) -> Result<Vec<Fired>> {
        if transaction.failed {
            return Err("ENOMEM");
        }
        let now = |path: &String| self.nodes.get(path).map(|node| node.generation);
        if transaction.accessed.iter().any(|(path, accessed)| accessed.saw != now(path)) {
            return Err("EAGAIN");
        }
        let mut fired = Vec::new();
        for (path, accessed) in transaction.accessed.into_iter().filter(|(_, accessed)| accessed.modified) {
            let after = accessed.node.as_ref().map(|node| node.perms.clone());
            match accessed.node {
                Some(mut node) => {
                    node.generation = self.next_generation();
                    self.nodes.insert(path.clone(), node);
                }
                None => _ = self.nodes.remove(&path),
            }
            if let Some(kind) = accessed.fire {
                let above = self.perms(parent(&path)).map(<[_]>::to_vec);
                let perms = accessed.before.into_iter().chain(after).chain(above).collect();
                fired.push(Fired { path, kind, perms });
            }
        }
        Ok(fired)
    }
}

/// One request's access to the nodes, within a transaction or outside.
pub(super) struct Access<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) transaction: Option<&'a mut Transaction>,
    pub(super) who: Who,
    pub(super) limits: Limits,
    pub(super) fired: Vec<Fired>,
}

impl Access<'_> {
    /// `read_node`.
    fn get(&mut self, path: &str) -> Result<Option<Node>> {
        let found = self.tree.nodes.get(path).cloned();
        let Some(transaction) = &mut self.transaction else { return Ok(found) };
        if let Some(accessed) = transaction.accessed.get(path) {
            return Ok(accessed.node.clone());
        }
        if !self.who.privileged && transaction.accessed.len() >= self.limits.transaction_nodes {
            transaction.failed = true;
            return Err("ENOSPC");
        }
        let accessed = Accessed {
            saw: found.as_ref().map(|node| node.generation),
            before: found.as_ref().map(|node| node.perms.clone()),
            node: found.clone(),
            modified: false,
            fire: None,
        };
        transaction.accessed.insert(path.into(), accessed);
        Ok(found)
    }

    /// `write_node`; the node has been read before.
    fn put(&mut self, path: &str, mut node: Node) -> Result<()> {
        if !self.who.privileged && node.size() > self.limits.node_size {
            if let Some(transaction) = &mut self.transaction {
                transaction.failed = true;
            }
            return Err("ENOSPC");
        }
        node.generation = self.tree.next_generation();
        self.set(path, Some(node));
        Ok(())
    }

    fn set(&mut self, path: &str, node: Option<Node>) {
        match (&mut self.transaction, node) {
            (Some(transaction), node) => {
                let accessed = transaction.accessed.get_mut(path).expect("a node that was read");
                (accessed.node, accessed.modified) = (node, true);
            }
            (None, Some(node)) => _ = self.tree.nodes.insert(path.into(), node),
            (None, None) => _ = self.tree.nodes.remove(path),
        }
    }

    /// `fire_watches`, or `queue_watches`.
    fn fire(&mut self, path: &str, kind: Match, perms: &[&[Perm]]) {
        if let Some(transaction) = &mut self.transaction {
            let accessed = transaction.accessed.get_mut(path).expect("a node that was read");
            if accessed.fire != Some(Match::Subtree) {
                accessed.fire = Some(kind);
            }
            return;
        }
        let above = self.tree.perms(parent(path)).map(<[_]>::to_vec);
        let perms = perms.iter().map(|perms| perms.to_vec()).chain(above).collect();
        self.fired.push(Fired { path: path.into(), kind, perms });
    }

    /// `get_node`: the node, or why not, without telling what one may not know.
    pub(super) fn node(&mut self, path: &str, need: u8) -> Result<Node> {
        let errno = match self.get(path)? {
            Some(node) if self.who.may(&node.perms) & need == need => return Ok(node),
            Some(_) => "EACCES",
            None => "ENOENT",
        };
        let mut above = path;
        loop {
            above = parent(above);
            if let Some(node) = self.get(above)? {
                return Err(if self.who.may(&node.perms) & need != 0 { errno } else { "EACCES" });
            }
        }
    }

    pub(super) fn write(&mut self, path: &str, value: &[u8]) -> Result<()> {
        let node = match self.node(path, WRITE) {
            Ok(mut node) => {
                node.value = value.into();
                self.put(path, node.clone())?;
                node
            }
            Err("ENOENT") => self.create(path, value)?,
            Err(errno) => return Err(errno),
        };
        self.fire(path, Match::Subtree, &[&node.perms]);
        Ok(())
    }

    pub(super) fn mkdir(&mut self, path: &str) -> Result<()> {
        match self.node(path, WRITE) {
            Ok(_) => Ok(()),
            Err("ENOENT") => {
                let node = self.create(path, b"")?;
                self.fire(path, Match::Subtree, &[&node.perms]);
                Ok(())
            }
            Err(errno) => Err(errno),
        }
    }

    /// `create_node`: with all nodes above that are missing.
    fn create(&mut self, path: &str, value: &[u8]) -> Result<Node> {
        let mut missing = vec![path.to_string()];
        let mut above = loop {
            let up = parent(missing.last().unwrap()).to_string();
            match self.get(&up)? {
                Some(node) => break (up, node),
                None => missing.push(up),
            }
        };
        if !self.who.privileged && self.count() + missing.len() > self.limits.nodes {
            return Err("ENOSPC");
        }
        let mut made: Vec<String> = Vec::new();
        while let Some(path) = missing.pop() {
            let mut node = Node::new(above.1.perms.clone());
            if !self.who.privileged {
                node.perms[0].dom = self.who.dom;
            }
            if missing.is_empty() {
                node.value = value.into();
            }
            above.1.children.push(base(&path).into());
            if let Err(errno) = self.put(&above.0, above.1).and_then(|()| self.put(&path, node.clone())) {
                self.undo(&made, &path);
                return Err(errno);
            }
            made.push(path.clone());
            above = (path, node);
        }
        Ok(above.1)
    }

    fn undo(&mut self, made: &[String], last: &str) {
        for path in made.iter().map(String::as_str).chain([last]) {
            self.set(path, None);
        }
        let first = made.first().map_or(last, String::as_str);
        if let Ok(Some(mut above)) = self.get(parent(first)) {
            above.children.retain(|name| name != base(first));
            self.set(parent(first), Some(above));
        }
    }

    /// How many nodes are the caller's.
    fn count(&self) -> usize {
        let own = |node: &Node| node.perms[0].dom == self.who.dom;
        let accessed = self.transaction.as_ref().map(|t| &t.accessed);
        let hidden = |path: &String| accessed.is_some_and(|accessed| accessed.contains_key(path));
        let outside = self.tree.nodes.iter().filter(|(path, node)| own(node) && !hidden(path)).count();
        let inside = accessed.into_iter().flat_map(|a| a.values()).filter_map(|a| a.node.as_ref());
        outside + inside.filter(|node| own(node)).count()
    }

    pub(super) fn rm(&mut self, path: &str) -> Result<()> {
        match self.node(path, WRITE) {
            Ok(_) if path == "/" || path.starts_with('@') => return Err("EINVAL"),
            Ok(_) => {}
            Err("ENOENT") if self.get(parent(path))?.is_some() => return Ok(()),
            Err(errno) => return Err(errno),
        }
        self.remove(path, Match::Subtree)?;
        let mut above = self.get(parent(path))?.ok_or("EIO")?;
        above.children.retain(|name| name != base(path));
        above.generation = self.tree.next_generation();
        self.set(parent(path), Some(above));
        Ok(())
    }

    /// Those below first.
    fn remove(&mut self, path: &str, kind: Match) -> Result<()> {
        let node = self.get(path)?.ok_or("EIO")?;
        for name in &node.children {
            self.remove(&child(path, name), Match::Exact)?;
        }
        // While it can still be seen who may read it.
        self.fire(path, kind, &[&node.perms]);
        self.set(path, None);
        Ok(())
    }

    pub(super) fn set_perms(&mut self, path: &str, perms: Vec<Perm>) -> Result<()> {
        let mut node = self.node(path, WRITE | OWNER)?;
        if !self.who.privileged && perms[0].dom != node.perms[0].dom {
            return Err("EPERM");
        }
        let before = core::mem::replace(&mut node.perms, perms);
        self.put(path, node.clone())?;
        self.fire(path, Match::Subtree, &[&before, &node.perms]);
        Ok(())
    }
}
