//! Which bursts are on their way: a counting filter, so that a request for a burst that no other asks for, which is the
//! rule, need not search the queues.

use crate::queue::Entry;

/// Some forty times as many as requests are on their way.
const SLOTS: usize = 4096;

/// Counts of requests by a hash of their burst.
#[derive(Debug, Clone)]
pub(crate) struct Pending(Box<[u16; SLOTS]>);

impl Pending {
    pub(crate) fn new() -> Pending {
        Pending(Box::new([0; SLOTS]))
    }

    #[inline]
    fn slot(entry: &Entry) -> usize {
        let burst = entry.row ^ entry.column << 16 ^ u32::from(entry.bank) << 26;
        (burst.wrapping_mul(0x9E37_79B1) >> 20) as usize
    }

    /// Whether a request for this burst may be on its way; if not, none is.
    #[inline]
    pub(crate) fn may_hold(&self, entry: &Entry) -> bool {
        self.0[Self::slot(entry)] > 0
    }

    #[inline]
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.0[Self::slot(entry)] += 1;
    }

    #[inline]
    pub(crate) fn remove(&mut self, entry: &Entry) {
        self.0[Self::slot(entry)] -= 1;
    }
}
