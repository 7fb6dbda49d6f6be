//! Accesses that a later one may meet, found by address.

use std::collections::BTreeMap;

use super::access::Range;

/// One access of one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) range: Range,
    pub(super) write: bool,
    pub(super) queue: usize,
    /// Number of the operation in its queue, from 1.
    pub(super) seq: u32,
    /// Number of the operation in the program, from 0.
    pub(super) order: u64,
    pub(super) pc: u32,
}

/// Pages of 16^i bytes: an entry lies at the first level whose pages are no shorter, under the page it begins in.
/// What begins in a page ends in the next one at the latest.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    levels: [BTreeMap<u64, Vec<Entry>>; 16],
}

fn level_of(range: &Range) -> usize {
    let bits = u64::BITS - (range.end() - range.base - 1).leading_zeros();
    bits.div_ceil(4).min(15) as usize
}

impl Index {
    pub(super) fn clear(&mut self) {
        self.levels.iter_mut().for_each(BTreeMap::clear);
    }
    pub(super) fn insert(&mut self, entry: Entry) {
        let level = level_of(&entry.range);
        self.levels[level].entry(entry.range.base >> (4 * level)).or_default().push(entry);
    }
    /// Shows every entry that shares a byte with `range` to `visit`, which says whether it stays.
    pub(super) fn visit<E>(
        &mut self,
        range: &Range,
        mut visit: impl FnMut(&Entry) -> Result<bool, E>,
    ) -> Result<(), E> {
        for (level, pages) in self.levels.iter_mut().enumerate() {
            if pages.is_empty() {
                continue;
            }
            let first = (range.base >> (4 * level)).saturating_sub(1);
            let last = (range.end() - 1) >> (4 * level);
            for (_, entries) in pages.range_mut(first..=last) {
                let mut i = 0;
                while i < entries.len() {
                    if entries[i].range.overlaps(range) && !visit(&entries[i])? {
                        entries.swap_remove(i);
                    } else {
                        i += 1;
                    }
                }
            }
        }
        Ok(())
    }
}
