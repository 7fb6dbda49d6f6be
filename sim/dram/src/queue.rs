//! A request queue in order of age, with per-bank bit sets: position p in a 64-bit word, lower is older.
//!
//! Taking an entry out leaves a hole; when the positions run out the words are shifted down, or, if an old entry
//! lingers at the bottom, the entries are renumbered. Ages never change order, and who remembers a position renumbers it
//! too, so nothing of this is visible outside.

use crate::canon::Canon;
use crate::timing::mask;

/// A request as the scheduler sees it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) arrival: u64,
    pub(crate) row: u32,
    pub(crate) column: u32,
    pub(crate) tag: u32,
    pub(crate) bank: u8,
    pub(crate) write: bool,
    /// A precharge, an activate was issued on its behalf.
    pub(crate) precharged: bool,
    pub(crate) activated: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct BankBits {
    all: u64,
    hit: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) len: u32,
    tail: u32,
    base: u32,
    valid: u64,
    /// Entries that hit an open row.
    pub(crate) hits: u64,
    /// Banks with entries.
    pub(crate) banks: u64,
    /// Banks with entries that hit.
    pub(crate) hit_banks: u64,
    bits: Box<[BankBits; 64]>,
    entries: Box<[Entry; 64]>,
}

impl Queue {
    pub(crate) fn new() -> Queue {
        Queue {
            len: 0,
            tail: 0,
            base: 0,
            valid: 0,
            hits: 0,
            banks: 0,
            hit_banks: 0,
            bits: Box::new([BankBits::default(); 64]),
            entries: Box::new([Entry::default(); 64]),
        }
    }

    #[inline]
    pub(crate) fn entry(&self, position: u32) -> &Entry {
        &self.entries[(self.base + position) as usize & 63]
    }

    #[inline]
    pub(crate) fn entry_mut(&mut self, position: u32) -> &mut Entry {
        &mut self.entries[(self.base + position) as usize & 63]
    }

    /// Whether every entry hits an open row.
    #[inline]
    pub(crate) fn all_hit(&self) -> bool {
        self.hits == self.valid
    }

    /// Oldest entry of a bank that has one.
    #[inline]
    pub(crate) fn oldest(&self, bank: usize) -> u32 {
        self.bits[bank & 63].all.trailing_zeros()
    }

    /// Oldest hit of a bank that has one.
    #[inline]
    pub(crate) fn oldest_hit(&self, bank: usize) -> u32 {
        self.bits[bank & 63].hit.trailing_zeros()
    }

    /// Whether a request for the same burst is in it.
    pub(crate) fn holds(&self, entry: &Entry) -> bool {
        let mut rest = self.bits[entry.bank as usize & 63].all;
        while rest != 0 {
            if self.entry(rest.trailing_zeros()).same_burst(entry) {
                return true;
            }
            rest &= rest - 1;
        }
        false
    }

    /// Entries older than the one at `position`.
    pub(crate) fn rank(&self, position: u32) -> u32 {
        rank(self.valid, position)
    }

    /// Appends; returns the position, and how older positions changed, if they did. There must be room (`len < 64`).
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry, hit: bool) -> (u32, Option<Renumbered>) {
        let renumbered = (self.tail == 64).then(|| self.compact());
        let position = self.tail;
        self.tail += 1;
        self.len += 1;
        let bit = 1u64 << position;
        self.valid |= bit;
        let bank = entry.bank as usize;
        self.banks |= 1 << bank;
        self.bits[bank & 63].all |= bit;
        if hit {
            self.bits[bank & 63].hit |= bit;
            self.hit_banks |= 1 << bank;
            self.hits |= bit;
        }
        *self.entry_mut(position) = entry;
        (position, renumbered)
    }

    #[inline]
    pub(crate) fn remove(&mut self, position: u32) {
        let bank = self.entry(position).bank as usize;
        let bit = !(1u64 << position);
        self.len -= 1;
        self.valid &= bit;
        self.hits &= bit;
        let bits = &mut self.bits[bank & 63];
        bits.all &= bit;
        bits.hit &= bit;
        if bits.hit == 0 {
            self.hit_banks &= !(1 << bank);
            if bits.all == 0 {
                self.banks &= !(1 << bank);
            }
        }
        if self.len == 0 {
            self.tail = 0;
        }
    }

    /// The bank's row is now `row`: marks the entries that hit it.
    pub(crate) fn open(&mut self, bank: usize, row: u32) {
        let mut rest = self.bits[bank & 63].all;
        if rest == 0 {
            return;
        }
        let mut hit = 0;
        while rest != 0 {
            let position = rest.trailing_zeros();
            hit |= u64::from(self.entry(position).row == row) << position;
            rest &= rest - 1;
        }
        self.bits[bank & 63].hit = hit;
        self.hits |= hit;
        if hit != 0 {
            self.hit_banks |= 1 << bank;
        }
    }

    /// These banks are now closed.
    pub(crate) fn close(&mut self, banks: u64) {
        let mut rest = self.hit_banks & banks;
        while rest != 0 {
            let bits = &mut self.bits[rest.trailing_zeros() as usize & 63];
            self.hits &= !bits.hit;
            bits.hit = 0;
            rest &= rest - 1;
        }
        self.hit_banks &= !banks;
    }

    /// Moves everything down over the holes at the bottom, or closes all holes.
    #[cold]
    fn compact(&mut self) -> Renumbered {
        let holes = self.valid.trailing_zeros();
        if holes >= 16 {
            self.valid >>= holes;
            self.hits >>= holes;
            let mut banks = self.banks;
            while banks != 0 {
                let bits = &mut self.bits[banks.trailing_zeros() as usize & 63];
                bits.all >>= holes;
                bits.hit >>= holes;
                banks &= banks - 1;
            }
            self.base = (self.base + holes) & 63;
            self.tail -= holes;
            return Renumbered::Down(holes);
        }
        let (old, hits) = (self.valid, self.hits);
        let mut banks = self.banks;
        while banks != 0 {
            self.bits[banks.trailing_zeros() as usize & 63] = BankBits::default();
            banks &= banks - 1;
        }
        (self.hits, self.tail) = (0, 0);
        let mut rest = old;
        while rest != 0 {
            let from = rest.trailing_zeros();
            let entry = *self.entry(from);
            *self.entry_mut(self.tail) = entry;
            let hit = hits >> from & 1;
            let bits = &mut self.bits[entry.bank as usize & 63];
            bits.all |= 1 << self.tail;
            bits.hit |= hit << self.tail;
            self.hits |= hit << self.tail;
            self.tail += 1;
            rest &= rest - 1;
        }
        self.valid = mask(self.tail as usize);
        Renumbered::ToRank(old)
    }

    fn clear(&mut self) {
        (self.len, self.tail, self.base) = (0, 0, 0);
        (self.valid, self.hits, self.banks, self.hit_banks) = (0, 0, 0, 0);
        self.bits.fill(BankBits::default());
    }

    /// Walks the entries, oldest first; `hit` tells which of them hit an open row.
    pub(crate) fn walk(&mut self, c: &mut Canon, hit: impl Fn(&Entry) -> bool) {
        let mut len = self.len;
        c.small(&mut len);
        if c.reading() {
            self.clear();
            for _ in 0..len {
                let mut entry = Entry { arrival: c.now, ..Entry::default() };
                entry.walk(c);
                self.push(entry, hit(&entry));
            }
            return;
        }
        let mut rest = self.valid;
        while rest != 0 {
            self.entry_mut(rest.trailing_zeros()).walk(c);
            rest &= rest - 1;
        }
    }
}

/// How positions changed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Renumbered {
    /// By that many.
    Down(u32),
    /// To the number of older entries, a bit for each position that had one.
    ToRank(u64),
}

impl Renumbered {
    /// What has become of a position.
    pub(crate) fn of(self, position: u32) -> u32 {
        match self {
            Renumbered::Down(holes) => position.saturating_sub(holes),
            Renumbered::ToRank(valid) => rank(valid, position),
        }
    }
}

fn rank(valid: u64, position: u32) -> u32 {
    (valid & ((1u64 << position) - 1)).count_ones()
}

impl Entry {
    /// Whether both ask for the same burst.
    #[inline]
    pub(crate) fn same_burst(&self, other: &Entry) -> bool {
        (self.bank, self.row, self.column) == (other.bank, other.row, other.column)
    }

    /// Its column is for the command log only, its arrival for the inbox.
    pub(crate) fn walk(&mut self, c: &mut Canon) {
        let mut flags = u64::from(self.bank) << 3
            | u64::from(self.write) << 2
            | u64::from(self.precharged) << 1
            | u64::from(self.activated);
        c.exact(&mut flags);
        self.bank = (flags >> 3) as u8;
        (self.write, self.precharged, self.activated) = (flags & 4 != 0, flags & 2 != 0, flags & 1 != 0);
        c.row(&mut self.row);
        if !self.write {
            c.tag(&mut self.tag);
        }
    }
}
