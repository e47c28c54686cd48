//! The front door: a flattened device tree, checked from end to end before anything in it is believed.
//!
//! Devicetree Specification 0.4, chapter 5. After [`Tree::check`] nothing here can fail: a reader that meets
//! something odd anyway sees the end of the tree. No recursion, no allocation, time linear in the size.

use super::DtError;

const MAGIC: u32 = 0xd00d_feed;
/// The version that brought `size_dt_struct`, and the only one written since 2007.
const VERSION: u32 = 17;
const HEADER_SIZE: usize = 40;
/// The arm64 boot protocol allows no more.
const MAX_SIZE: usize = 2 << 20;
/// Xen's guests need 3, boards 6 or 7.
pub const MAX_DEPTH: usize = 16;
/// Longest name; the specification says 31, trees in use have a few more. Bounds the time names take.
const MAX_NAME: usize = 127;

const FDT_BEGIN_NODE: u32 = 1;
const FDT_END_NODE: u32 = 2;
const FDT_PROP: u32 = 3;
const FDT_NOP: u32 = 4;
const FDT_END: u32 = 9;

/// A device tree that passed the door.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    blob: &'a [u8],
    reservations: &'a [u8],
    tokens: Tokens<'a>,
}

/// A node; its properties and children are read from the blob each time they are asked for.
#[derive(Clone, Copy, Default)]
pub struct Node<'a> {
    /// Name with unit address, empty for the root.
    pub name: &'a [u8],
    /// What comes after the name.
    pub body: Tokens<'a>,
}

/// A property.
#[derive(Clone, Copy)]
pub struct Prop<'a> {
    /// The strings block from where the name starts.
    name_on: &'a [u8],
    /// Its value, as it lies there.
    pub value: &'a [u8],
}

impl<'a> Tree<'a> {
    /// Checks the header, the reservation map and every token of `blob`, which may be longer than the tree.
    pub fn check(blob: &'a [u8]) -> Result<Self, DtError> {
        let header = |field: usize| cell(blob, field * 4).unwrap_or(0);
        if blob.len() < HEADER_SIZE {
            return Err(DtError::Truncated { expected: HEADER_SIZE, found: blob.len() });
        }
        if header(0) != MAGIC {
            return Err(DtError::Magic(header(0)));
        }
        let (version, last_compatible) = (header(5), header(6));
        if version < VERSION || last_compatible > VERSION {
            return Err(DtError::Version { version, last_compatible });
        }
        let size = header(1) as usize;
        if !(HEADER_SIZE..=MAX_SIZE).contains(&size) {
            return Err(DtError::Header { field: "totalsize", value: header(1) });
        }
        let blob = blob.get(..size).ok_or(DtError::Truncated { expected: size, found: blob.len() })?;
        let block = |field, offset: u32, length: usize, alignment: u32| {
            let start = offset as usize;
            let inside = start.checked_add(length).and_then(|end| blob.get(start..end));
            inside
                .filter(|_| offset.is_multiple_of(alignment))
                .ok_or(DtError::Header { field, value: offset })
        };
        let structure = block("off_dt_struct", header(2), header(9) as usize, 4)?;
        let strings = block("off_dt_strings", header(3), header(8) as usize, 1)?;
        let rest = size.saturating_sub(header(4) as usize);
        let reservations = block("off_mem_rsvmap", header(4), rest, 8)?;
        let tree = Self { blob, reservations, tokens: Tokens { rest: structure, strings } };
        tree.check_reservations()?;
        tree.check_structure()?;
        Ok(tree)
    }

    fn check_reservations(&self) -> Result<(), DtError> {
        match self.reservations.chunks_exact(16).any(|entry| entry == [0; 16]) {
            true => Ok(()),
            false => Err(DtError::Structure { offset: self.blob.len(), expected: "the end of /memreserve/" }),
        }
    }

    fn check_structure(&self) -> Result<(), DtError> {
        let mut tokens = self.tokens;
        let mut depth = 0;
        let mut properties_over = false;
        loop {
            let offset = self.offset_of(&tokens);
            let fail = |expected| DtError::Structure { offset, expected };
            match tokens.read().map_err(fail)? {
                Token::Begin(_) if depth == MAX_DEPTH => return Err(fail("at most 16 levels of nodes")),
                Token::Begin(_) => {
                    depth += 1;
                    properties_over = false;
                }
                Token::Prop(prop) => {
                    prop.terminated_name().ok_or_else(|| fail("a property with a name"))?;
                    if depth == 0 || properties_over {
                        return Err(fail("properties before child nodes"));
                    }
                }
                Token::EndNode if depth > 1 => {
                    depth -= 1;
                    properties_over = true;
                }
                // The root node is complete.
                Token::EndNode if depth == 1 => break,
                Token::EndNode | Token::End => return Err(fail("a root node")),
            }
        }
        let offset = self.offset_of(&tokens);
        match tokens.read() {
            Ok(Token::End) => Ok(()),
            _ => Err(DtError::Structure { offset, expected: "the end after the root node" }),
        }
    }

    /// Where in the blob `tokens` will read next.
    fn offset_of(&self, tokens: &Tokens<'_>) -> usize {
        let start = cell(self.blob, 8).unwrap_or(0) as usize;
        start + (self.tokens.rest.len() - tokens.rest.len())
    }

    /// The blob, cut to its size.
    pub fn blob(&self) -> &'a [u8] {
        self.blob
    }

    /// `/memreserve/`: addresses and sizes.
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let pairs = self.reservations.chunks_exact(16).map(|entry| {
            let (address, size) = entry.split_at(8);
            (number(address).unwrap_or(0), number(size).unwrap_or(0))
        });
        pairs.take_while(|pair| *pair != (0, 0))
    }

    /// `/`.
    pub fn root(&self) -> Node<'a> {
        let mut body = self.tokens;
        match body.read() {
            Ok(Token::Begin(name)) => Node { name, body },
            _ => Node::default(),
        }
    }

    /// The node in a tree that was checked, of whose structure block `left` bytes come behind the node's name.
    pub(super) fn node_at(blob: &'a [u8], name: &'a [u8], left: usize) -> Option<Node<'a>> {
        let block = |offset: usize, size: usize| {
            let (offset, size) = (cell(blob, offset)? as usize, cell(blob, size)? as usize);
            blob.get(offset..offset.checked_add(size)?)
        };
        let (structure, strings) = (block(8, 36)?, block(12, 32)?);
        let rest = structure.get(structure.len().checked_sub(left)?..)?;
        Some(Node { name, body: Tokens { rest, strings } })
    }

    /// All there is, in order.
    pub fn tokens(&self) -> Tokens<'a> {
        self.tokens
    }

    /// The node at `path`, whose names may omit their unit addresses.
    pub fn find(&self, path: &str) -> Option<Node<'a>> {
        let names = path.strip_prefix('/')?.split('/').filter(|name| !name.is_empty());
        names.into_iter().try_fold(self.root(), |node, name| node.children().find(|n| n.is_called(name)))
    }
}

impl<'a> Node<'a> {
    /// Whether `name` is its name, with or without the unit address.
    pub fn is_called(&self, name: &str) -> bool {
        match self.name.strip_prefix(name.as_bytes()) {
            Some(rest) => rest.is_empty() || rest[0] == b'@' && !name.contains('@'),
            None => false,
        }
    }

    /// Its properties, in order.
    pub fn properties(&self) -> impl Iterator<Item = Prop<'a>> + use<'a> {
        let mut tokens = self.body;
        core::iter::from_fn(move || match tokens.read() {
            Ok(Token::Prop(prop)) => Some(prop),
            _ => None,
        })
    }

    /// Its child nodes, in order.
    pub fn children(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let mut tokens = self.body;
        let mut depth = 0_usize;
        core::iter::from_fn(move || {
            loop {
                match tokens.read() {
                    Ok(Token::Begin(name)) => {
                        depth += 1;
                        if depth == 1 {
                            return Some(Node { name, body: tokens });
                        }
                    }
                    Ok(Token::EndNode) => depth = depth.checked_sub(1)?,
                    Ok(Token::Prop(_)) => {}
                    Ok(Token::End) | Err(_) => return None,
                }
            }
        })
    }

    /// The value of property `name`.
    pub fn prop(&self, name: &str) -> Option<&'a [u8]> {
        self.properties().find(|prop| prop.is_called(name)).map(|prop| prop.value)
    }

    /// The cells of property `name`; none, if it is not there.
    pub fn cells(&self, name: &str) -> impl Iterator<Item = u32> + use<'a> {
        let cells = self.prop(name).unwrap_or_default().chunks_exact(4);
        cells.map(|cell| cell.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
    }

    /// The first cell of property `name`.
    pub fn cell(&self, name: &str) -> Option<u32> {
        self.cells(name).next()
    }

    /// The first string of property `name`, if that is text.
    pub fn string(&self, name: &str) -> Option<&'a str> {
        core::str::from_utf8(strings(self.prop(name)?).next()?).ok()
    }
}

impl<'a> Prop<'a> {
    fn terminated_name(&self) -> Option<&'a [u8]> {
        until_nul(self.name_on).filter(|name| !name.is_empty())
    }

    /// Its name.
    pub fn name(&self) -> &'a [u8] {
        self.terminated_name().unwrap_or_default()
    }

    fn is_called(&self, name: &str) -> bool {
        self.name_on.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// A piece of the structure block.
pub enum Token<'a> {
    /// A node of this name; its properties and then its children follow.
    Begin(&'a [u8]),
    /// A property of the node last begun.
    Prop(Prop<'a>),
    /// The end of a node.
    EndNode,
    /// The end of the tree.
    End,
}

/// What is left of the structure block, and the names of its properties.
#[derive(Clone, Copy, Default)]
pub struct Tokens<'a> {
    rest: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// How much is left, which no other place in the tree shares.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next token that is not a NOP, or what was expected where none could be read.
    pub fn read(&mut self) -> Result<Token<'a>, &'static str> {
        loop {
            match self.cell().ok_or("a token")? {
                FDT_NOP => {}
                FDT_BEGIN_NODE => {
                    let name = until_nul(self.rest).ok_or("a node name that ends")?;
                    self.take(name.len() + 1).ok_or("a padded node name")?;
                    return Ok(Token::Begin(name));
                }
                FDT_PROP => {
                    let length = self.cell().ok_or("the length of a property")?;
                    let name = self.cell().ok_or("the name of a property")?;
                    let name_on = self.strings.get(name as usize..).ok_or("a name in the strings block")?;
                    let value = self.take(length as usize).ok_or("a property inside the structure block")?;
                    return Ok(Token::Prop(Prop { name_on, value }));
                }
                FDT_END_NODE => return Ok(Token::EndNode),
                FDT_END => return Ok(Token::End),
                _ => return Err("a token of a known kind"),
            }
        }
    }

    fn cell(&mut self) -> Option<u32> {
        let (first, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*first))
    }

    /// Takes `length` bytes and the padding to the next cell.
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length.checked_next_multiple_of(4)?)?;
        self.rest = rest;
        taken.get(..length)
    }
}

fn until_nul(bytes: &[u8]) -> Option<&[u8]> {
    let longest = bytes.get(..=MAX_NAME).unwrap_or(bytes);
    let length = longest.iter().position(|byte| *byte == 0)?;
    bytes.get(..length)
}

fn cell(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|cell| u32::from_be_bytes(*cell))
}

/// A big-endian number of at most two cells.
pub fn number(cells: &[u8]) -> Option<u64> {
    match cells.len() {
        0 | 4 | 8 => Some(cells.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))),
        _ => None,
    }
}

/// The strings in a value; a last one without its NUL counts.
pub fn strings(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let terminated = value.strip_suffix(&[0]).unwrap_or(value);
    terminated.split(|byte| *byte == 0)
}
