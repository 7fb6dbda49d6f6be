//! State relative to now: what two moments have in common, wherever in time and memory they are.
//!
//! A component describes its state once, as a walk over its fields; the same walk writes it down and puts it back, so
//! the two cannot differ. Clocks are written as what is still to come, rows as which of them are the same row.
//!
//! ```text
//! written: | fields, relative to now ... | one relation per row mentioned: (cluster, distance from its first row) |
//! ```
//! Timing asks of rows only whether two of them are equal. Rows that are mentioned as ranges which overlap make a
//! cluster; where clusters lie does not matter, so it is kept apart (`bases`), and the same state is recognised there
//! too.

/// A range of rows, both ends included, in units of rows that are translated together.
pub type Rows = (u64, u64);

/// A walk over a machine's state, writing or reading.
#[derive(Debug, Default)]
pub struct Canon {
    /// The present, in the clock of the component being walked.
    pub now: u64,
    /// Rows that are translated together, as a power of two: the address mapping may mix those bits into the bank.
    row_unit: u32,
    /// Bytes from one row unit to the next in the chip's addresses.
    span: u64,
    /// Number of the first burst that its requester still waits for; requesters' numbers are relative to it.
    pub first_tag: u32,
    reading: bool,
    /// Where parts of the state end, if anybody wants to know.
    parts: Vec<usize>,
    bytes: Vec<u8>,
    at: usize,
    /// Clocks of the past that are next to each other: most of a memory's are, and count as one field.
    past: u64,
    mentions: Vec<Rows>,
    mention: usize,
}

/// How a clock of the past is written, and how many more follow behind it.
const PAST: u64 = 1;

/// Tags with this bit set belong to a requester that does not number its bursts.
pub const UNNUMBERED: u32 = 1 << 31;

/// Clusters of rows that touch, by first mention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clusters(pub Vec<Rows>);

impl Clusters {
    /// Joins overlapping ranges, numbered by first mention; `of` gets each mention's cluster.
    fn of(mentions: &[Rows], of: &mut Vec<u32>) -> Clusters {
        let mut order: Vec<u32> = (0..mentions.len() as u32).collect();
        order.sort_unstable_by_key(|&i| mentions[i as usize]);
        let mut joined: Vec<(Rows, u32)> = Vec::new(); // range and first mention
        let mut part = vec![0u32; mentions.len()];
        for &i in &order {
            let (lo, hi) = mentions[i as usize];
            match joined.last_mut() {
                Some(((_, end), first)) if lo <= *end => {
                    *end = hi.max(*end);
                    *first = i.min(*first);
                }
                _ => joined.push(((lo, hi), i)),
            }
            part[i as usize] = joined.len() as u32 - 1;
        }
        let mut by_mention: Vec<u32> = (0..joined.len() as u32).collect();
        by_mention.sort_unstable_by_key(|&j| joined[j as usize].1);
        let mut number = vec![0u32; joined.len()];
        for (n, &j) in by_mention.iter().enumerate() {
            number[j as usize] = n as u32;
        }
        of.clear();
        of.extend(part.iter().map(|&j| number[j as usize]));
        Clusters(by_mention.iter().map(|&j| joined[j as usize].0).collect())
    }
}

impl Canon {
    /// For a memory whose rows belong together in `2^row_unit`, `span` bytes of the chip's addresses from one such unit to
    /// the next.
    pub fn new(row_unit: u32, span: u64) -> Canon {
        Canon { row_unit, span, ..Canon::default() }
    }
    /// Begins to write.
    pub fn write(&mut self) {
        self.reading = false;
        self.parts.clear();
        self.bytes.clear();
        self.past = 0;
        self.mentions.clear();
    }
    /// Ends writing: the bytes, the length of the fields' part, and where the clusters are.
    pub fn written(&mut self) -> (&[u8], usize, Clusters) {
        self.put_past();
        let fields = self.bytes.len();
        let mut of = Vec::with_capacity(self.mentions.len());
        let clusters = Clusters::of(&self.mentions, &mut of);
        for (i, cluster) in of.into_iter().enumerate() {
            let distance = self.mentions[i].0 - clusters.0[cluster as usize].0;
            self.put(u64::from(cluster));
            self.put(distance);
        }
        (&self.bytes, fields, clusters)
    }
    /// Begins to read what was written, `fields` bytes of it fields, with clusters beginning at `bases`.
    pub fn read(&mut self, bytes: &[u8], fields: usize, bases: &[u64]) {
        self.reading = true;
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.mentions.clear();
        self.past = 0;
        self.mention = 0;
        self.at = fields;
        while self.at < self.bytes.len() {
            let cluster = self.get();
            let row = bases[cluster as usize] + self.get();
            self.mentions.push((row, row));
        }
        self.at = 0;
    }
    /// Whether this walk puts state back.
    pub fn reading(&self) -> bool {
        self.reading
    }

    /// A part of the state ends here.
    pub fn part(&mut self) {
        self.put_past();
        self.parts.push(self.bytes.len());
    }
    /// The parts of what was written, relations of rows last.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.parts.iter().copied().chain([self.bytes.len()]);
        ends.scan(0, |from, to| Some(&self.bytes[std::mem::replace(from, to)..to]))
    }

    #[inline]
    fn put(&mut self, x: u64) {
        self.put_past();
        self.put_bytes(x);
    }
    /// Clocks of the past, before anything else.
    #[inline]
    fn put_past(&mut self) {
        if self.past > 0 {
            let more = std::mem::take(&mut self.past) - 1;
            self.put_bytes(PAST);
            self.put_bytes(more);
        }
    }
    #[inline]
    fn put_bytes(&mut self, mut x: u64) {
        while x >= 0x80 {
            self.bytes.push(x as u8 | 0x80);
            x >>= 7;
        }
        self.bytes.push(x as u8);
    }
    #[inline]
    fn get(&mut self) -> u64 {
        let (mut x, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[self.at];
            self.at += 1;
            x |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return x;
            }
            shift += 7;
        }
    }

    /// A value that is the same wherever and whenever.
    #[inline]
    pub fn exact(&mut self, x: &mut u64) {
        if self.reading { *x = self.get() } else { self.put(*x) }
    }
    /// The same, of a smaller type.
    #[inline]
    pub fn small<T: Copy + Into<u64> + TryFrom<u64>>(&mut self, x: &mut T) {
        let mut wide = (*x).into();
        self.exact(&mut wide);
        if let Ok(narrow) = T::try_from(wide) {
            *x = narrow;
        }
    }
    /// A length or an index.
    #[inline]
    pub fn size(&mut self, x: &mut usize) {
        let mut wide = *x as u64;
        self.exact(&mut wide);
        *x = wide as usize;
    }
    /// A flag.
    #[inline]
    pub fn flag(&mut self, x: &mut bool) {
        let mut wide = u64::from(*x);
        self.exact(&mut wide);
        *x = wide != 0;
    }
    /// A moment that is compared with the present or later ones only, so that all of the past is alike; `u64::MAX` is
    /// never.
    #[inline]
    pub fn clock(&mut self, x: &mut u64) {
        if !self.reading {
            match *x {
                u64::MAX => self.put(0),
                past if past <= self.now => self.past += 1,
                ahead => self.put(ahead - self.now + PAST),
            }
        } else if self.past > 0 {
            self.past -= 1;
            *x = self.now;
        } else {
            *x = match self.get() {
                0 => u64::MAX,
                PAST => {
                    self.past = self.get();
                    self.now
                }
                ahead => self.now + (ahead - PAST),
            };
        }
    }
    /// A moment, in the past too; `u64::MAX` is never.
    #[inline]
    pub fn moment(&mut self, x: &mut u64) {
        if self.reading {
            *x = match self.get() {
                0 => u64::MAX,
                n if n & 1 == 1 => self.now.wrapping_add(n >> 1),
                n => self.now.wrapping_sub(n >> 1),
            };
        } else if *x == u64::MAX {
            self.put(0);
        } else if *x >= self.now {
            self.put((*x - self.now) << 1 | 1);
        } else {
            self.put((self.now - *x) << 1);
        }
    }
    /// A count of which only the distance from `base` matters; `base` counts as 0 when it is put back.
    #[inline]
    pub fn since(&mut self, x: &mut u64, base: u64) {
        if self.reading { *x = self.get() } else { self.put(x.saturating_sub(base)) }
    }
    /// A requester's number of a burst.
    #[inline]
    pub fn tag(&mut self, x: &mut u32) {
        if self.reading {
            *x = match self.get() as u32 {
                n if n & 1 == 1 => UNNUMBERED | n >> 1,
                n => n >> 1,
            };
        } else if *x & UNNUMBERED != 0 {
            self.put(u64::from(*x & !UNNUMBERED) << 1 | 1);
        } else {
            self.put(u64::from(x.wrapping_sub(self.first_tag) & !UNNUMBERED) << 1);
        }
    }
    fn mention(&mut self, unit: u64, last: u64) -> u64 {
        if !self.reading {
            self.mentions.push((unit, last));
            return unit;
        }
        self.mention += 1;
        self.mentions[self.mention - 1].0
    }
    /// A row of a bank.
    #[inline]
    pub fn row(&mut self, x: &mut u32) {
        let mut wide = u64::from(*x);
        self.unit_of_rows(&mut wide, self.row_unit);
        *x = wide as u32;
    }
    /// A burst's number in its channel, whose row begins at bit `row_bit`.
    #[inline]
    pub fn burst(&mut self, x: &mut u64, row_bit: u32) {
        self.unit_of_rows(x, row_bit + self.row_unit);
    }
    fn unit_of_rows(&mut self, x: &mut u64, shift: u32) {
        let mut low = *x & ((1 << shift) - 1);
        if shift > 0 {
            self.exact(&mut low);
        }
        let unit = *x >> shift;
        *x = self.mention(unit, unit) << shift | low;
    }
    /// An address in the chip's memory, of `bytes` bytes that may be asked for.
    pub fn address(&mut self, x: &mut u64, bytes: u64) {
        let mut phase = *x % self.span;
        self.exact(&mut phase);
        let unit = *x / self.span;
        let last = (*x + bytes.max(1) - 1) / self.span;
        *x = self.mention(unit, last) * self.span + phase;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is written is read back, elsewhere and later; and written again there it is the same.
        #[test]
        fn a_walk_reads_what_it_wrote(
            now in 0u64..1 << 40, ahead in 0u64..5000, later in 0u64..1 << 40, rows in proptest::collection::vec(0u32..40, 1..20),
            up in 0u64..1000, tag in 0u32..UNNUMBERED, exact in any::<u64>(),
        ) {
            let mut c = Canon { row_unit: 1, span: 4096, ..Canon::default() };
            let walk = |c: &mut Canon, s: &mut (u64, u64, u32, u64, Vec<u32>)| {
                // Two of the past in a row, and none.
                let (mut first, mut second, mut never) = (c.now / 2, c.now, u64::MAX);
                c.clock(&mut first);
                c.clock(&mut second);
                prop_assert_eq!((c.reading() && first != c.now, second), (false, c.now));
                c.clock(&mut never);
                prop_assert_eq!(never, u64::MAX);
                c.clock(&mut s.0);
                c.moment(&mut s.1);
                c.tag(&mut s.2);
                c.exact(&mut s.3);
                for row in &mut s.4 {
                    c.row(row);
                }
                Ok(())
            };
            let mut state = (now + ahead, now.saturating_sub(ahead), tag, exact, rows.clone());
            (c.now, c.first_tag) = (now, tag.saturating_sub(3));
            c.write();
            walk(&mut c, &mut state)?;
            let (bytes, fields, clusters) = c.written();
            let bytes = bytes.to_vec();
            // Elsewhere: every cluster moves by as much, which keeps them apart.
            let bases: Vec<u64> = clusters.0.iter().map(|r| r.0 + up).collect();
            let mut other = (0, 0, 0, 0, vec![0; rows.len()]);
            (c.now, c.first_tag) = (later + 5000, 0);
            c.read(&bytes, fields, &bases);
            walk(&mut c, &mut other)?;
            prop_assert_eq!(other.0, later + 5000 + ahead);
            prop_assert_eq!(other.2, tag - tag.saturating_sub(3));
            prop_assert_eq!(other.3, exact);
            for (a, b) in rows.iter().zip(&other.4) {
                prop_assert_eq!(u64::from(*a) + 2 * up, u64::from(*b));
            }
            c.write();
            walk(&mut c, &mut other)?;
            let (again, _, _) = c.written();
            prop_assert_eq!(again, &bytes[..]);
        }
    }
}
