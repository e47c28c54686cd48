//! Things that a backend may say of frames and that are not so.

use super::Netback;
use super::wire::{
    EXTRA_GSO, EXTRA_MAX, EXTRA_MORE, RX_SLOT, RXF_CSUM_BLANK, RXF_DATA_VALIDATED, RXF_EXTRA_INFO,
    RXF_MORE_DATA, rx_response, tx_response, u16_at,
};
use xen_hyp::PAGE_SIZE;

/// What is wrong with the answers of each frame for the guest, or to each that it has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetLie {
    /// A frame is said to be in the page of another request.
    Id,
    /// It begins near the end of its page.
    Offset,
    /// It is longer than its page.
    Length,
    /// It has no bytes.
    Empty,
    /// Its last part could not be copied.
    Failed,
    /// It goes on, whatever follows.
    Endless,
    /// It is one of a hundred slots.
    Long,
    /// It has extra information, and data comes instead.
    MissingExtra,
    /// Its extra information goes on, whatever follows.
    EndlessExtra,
    /// It has extra information of a kind that does not exist.
    UnknownExtra,
    /// It has extra information of kind 0.
    NoExtra,
    /// It is to be cut into segments without data.
    GsoEmpty,
    /// It is to be cut into segments longer than it is.
    GsoHuge,
    /// It is to be cut by a protocol that does not exist.
    GsoKind,
    /// Its checksum is said to be blank, or right.
    Checksum,
    /// It has all flags that there are and those that there are not.
    Flags,
    /// All its answers come again.
    Twice,
    /// Its answers come the last first.
    Backwards,
    /// What the guest sent is answered by an id that it never used.
    SentId,
    /// By one that it may have used, but not for this.
    SentOther,
    /// Twice.
    SentTwice,
    /// With a status that does not exist.
    SentStatus,
    /// As if it were extra information.
    SentNull,
    /// Not at all.
    SentNothing,
}

impl NetLie {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Id,
        Self::Offset,
        Self::Length,
        Self::Empty,
        Self::Failed,
        Self::Endless,
        Self::Long,
        Self::MissingExtra,
        Self::EndlessExtra,
        Self::UnknownExtra,
        Self::NoExtra,
        Self::GsoEmpty,
        Self::GsoHuge,
        Self::GsoKind,
        Self::Checksum,
        Self::Flags,
        Self::Twice,
        Self::Backwards,
        Self::SentId,
        Self::SentOther,
        Self::SentTwice,
        Self::SentStatus,
        Self::SentNull,
        Self::SentNothing,
    ];

    /// Whether it is about what the guest has sent.
    pub fn is_of_sent(self) -> bool {
        self as usize >= Self::SentId as usize
    }

    fn tell(self, answers: &mut Vec<[u8; RX_SLOT]>) {
        let first = answers[0];
        let [id, offset, flags, status] = [0, 2, 4, 6].map(|at| u16_at(&first, at));
        let part = |flags, status: i16| rx_response(id, offset, flags, status);
        let own = status as i16;
        let last = answers.len() - 1;
        match self {
            Self::Id => answers[0] = rx_response(id.wrapping_add(1), offset, flags, own),
            Self::Offset => answers[0] = rx_response(id, PAGE_SIZE as u16 - 1, flags, own.max(2)),
            Self::Length => answers[0] = part(flags, PAGE_SIZE as i16 + 1),
            Self::Empty => answers[0] = part(flags, 0),
            Self::Failed => answers[last][6..].copy_from_slice(&(-1i16).to_ne_bytes()),
            Self::Endless => answers[last][4] |= RXF_MORE_DATA as u8,
            Self::Long => {
                answers[last][4] |= RXF_MORE_DATA as u8;
                // Each in a page of its own, as requests usually are.
                let next = |n| rx_response(id.wrapping_add(n), 0, RXF_MORE_DATA, PAGE_SIZE as i16);
                answers.extend((answers.len() as u16..100).map(next));
            }
            Self::MissingExtra => answers[0][4] |= RXF_EXTRA_INFO as u8,
            Self::EndlessExtra => self.add_extra(answers, [EXTRA_GSO, EXTRA_MORE, 0, 4, 1, 0, 0, 0]),
            Self::UnknownExtra => self.add_extra(answers, [EXTRA_MAX + 9, 0, 1, 1, 1, 1, 1, 1]),
            Self::NoExtra => self.add_extra(answers, [0; RX_SLOT]),
            Self::GsoEmpty => self.add_extra(answers, [EXTRA_GSO, 0, 0, 0, 1, 0, 0, 0]),
            Self::GsoHuge => self.add_extra(answers, [EXTRA_GSO, 0, 0xff, 0xff, 1, 0, 0xff, 0xff]),
            Self::GsoKind => self.add_extra(answers, [EXTRA_GSO, 0, 0, 4, 77, 0, 0, 0]),
            Self::Checksum => {
                let blank = if flags & RXF_CSUM_BLANK != 0 { 0 } else { RXF_CSUM_BLANK };
                answers[0] = part(flags & !RXF_CSUM_BLANK | blank | RXF_DATA_VALIDATED, own);
            }
            Self::Flags => answers[0] = part(0xffff, own),
            Self::Twice => answers.extend_from_within(..),
            Self::Backwards => answers.reverse(),
            _ => {}
        }
    }

    fn add_extra(self, answers: &mut Vec<[u8; RX_SLOT]>, extra: [u8; RX_SLOT]) {
        if answers[0][4] & RXF_EXTRA_INFO as u8 == 0 {
            answers[0][4] |= RXF_EXTRA_INFO as u8;
            answers.insert(1, extra);
        } else {
            answers[1] = extra;
        }
    }

    fn tell_sent(self, answers: &mut Vec<[u8; 4]>) {
        let ids: Vec<u16> = answers.iter().map(|answer| u16_at(answer, 0)).collect();
        let ids = ids.iter();
        match self {
            Self::SentId => *answers = ids.map(|id| tx_response(id | 0x8000, 0)).collect(),
            Self::SentOther => *answers = ids.map(|id| tx_response(id ^ 1, 0)).collect(),
            Self::SentTwice => *answers = answers.iter().flat_map(|answer| [*answer; 2]).collect(),
            Self::SentStatus => *answers = ids.map(|id| tx_response(*id, i16::MIN)).collect(),
            Self::SentNull => *answers = ids.map(|id| tx_response(*id, 1)).collect(),
            Self::SentNothing => answers.clear(),
            _ => {}
        }
    }
}

impl Netback {
    /// Lies so from now on, about each frame; `None`: not any more.
    pub fn lie(&self, lie: Option<NetLie>) {
        let mut inner = self.inner.borrow_mut();
        (inner.tamper, inner.tamper_sent) = (None, None);
        match lie {
            Some(lie) if lie.is_of_sent() => {
                inner.tamper_sent = Some(Box::new(move |answers| lie.tell_sent(answers)));
            }
            Some(lie) => inner.tamper = Some(Box::new(move |answers| lie.tell(answers))),
            None => {}
        }
    }
}
