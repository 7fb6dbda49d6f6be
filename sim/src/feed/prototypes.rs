//! Operations without their addresses, and how a word is told to be of one without working out its operands.

use lutsim_isa::control::{Control, Reads, Word};
use lutsim_isa::{Dispatch, Fault, Inst, Op, Step, TileId, TileRef};

use super::{Met, Places};
use crate::leap::addresses;

/// Prototypes of words of control have this bit, and their kind and number.
pub(super) const CONTROL: u32 = 1 << 31;

/// Operations without their addresses, numbered as they come.
#[derive(Debug, Default)]
pub(crate) struct Prototypes {
    known: Vec<(Dispatch, u32)>,
    /// Those of each word, as they came, and the place behind the last one that was met: loops meet them in turn.
    by_word: Vec<(Vec<u32>, usize)>,
    /// Bytes of DRAM in which a row unit of every channel and bank lies.
    span: u64,
    /// Bytes of the scratchpad in which one word of every bank lies; which of those it is makes no difference to time.
    banks: u32,
}

impl Prototypes {
    pub(crate) fn new(span: u64, banks: u32) -> Self {
        Self { span, banks, ..Self::default() }
    }
    /// Bytes of the scratchpad in which one word of every bank lies.
    pub(crate) fn banks(&self) -> u32 {
        self.banks
    }
    /// An operation; nothing for a word of control.
    pub(crate) fn dispatch(&self, prototype: u32) -> Option<&Dispatch> {
        self.known.get(prototype as usize).map(|(dispatch, _)| dispatch)
    }
    /// What of a word matters to time.
    pub(super) fn meet(&mut self, pc: u32, step: &Step, mark: u32, mailbox: &[u32]) -> Met {
        let mut places = Places::default();
        let prototype = match step {
            Step::Control => control(pc, 0),
            Step::Fence => control(pc, 1),
            Step::Halt => control(pc, 2),
            Step::Dispatch(dispatch) => {
                let mut bare = *dispatch;
                let banks = self.banks;
                bare.op.each_tile(|tile| tile.base %= banks);
                crate::vector::forget_values(&mut bare.op);
                addresses(&mut bare.op, mailbox, |address, bytes| {
                    places.push(self.place(*address, bytes));
                    *address = 0;
                });
                self.number(bare, mark)
            }
        };
        Met { pc, prototype, places }
    }
    /// How far into a row unit, and the row units.
    fn place(&self, address: u64, bytes: u64) -> (u64, (u64, u64)) {
        let first = address / self.span;
        let phase = address - first * self.span;
        let last = if phase + bytes <= self.span { first } else { (address + bytes.max(1) - 1) / self.span };
        (phase, (first, last))
    }
    fn number(&mut self, bare: Dispatch, mark: u32) -> u32 {
        let pc = bare.pc as usize;
        if self.by_word.len() <= pc {
            self.by_word.resize_with(pc + 1, Default::default);
        }
        let (same, next) = &mut self.by_word[pc];
        let known = &mut self.known;
        let at = in_turn(same, next, |&i| known[i as usize] == (bare, mark)).unwrap_or_else(|| {
            same.push(known.len() as u32);
            known.push((bare, mark));
            *next = same.len();
            same.len() - 1
        });
        same[at]
    }
}

/// The prototype of a word of control.
fn control(pc: u32, kind: u32) -> u32 {
    CONTROL | pc << 2 | kind
}

/// Where one of `all` is: from behind the last one that was asked for on.
#[inline]
fn in_turn<T>(all: &[T], next: &mut usize, is: impl Fn(&T) -> bool) -> Option<usize> {
    let (before, after) = all.split_at((*next).min(all.len()));
    let found = match after.iter().position(&is) {
        Some(i) => before.len() + i,
        None => before.iter().position(&is)?,
    };
    *next = found + 1;
    Some(found)
}

/// Tells what words of one program are of, by the tiles that they name and their address; operands are worked out only of
/// what has not come yet.
#[derive(Debug, Default)]
pub(super) struct Glance {
    /// Tiles that were met, their bases within the banks.
    tiles: Vec<TileRef>,
    /// Those that each tile register has held.
    held: Vec<Vec<u32>>,
    words: Vec<Option<Box<Seen>>>,
}

/// The number of each tile register's tile among those that were met, as far as it was asked for.
pub(super) type Names = [u32; TILES];
const TILES: usize = 64;
pub(super) const UNNAMED: Names = [u32::MAX; TILES];

/// The numbers of the tiles that a word names.
type Key = [u32; 4];

/// A word that was met.
#[derive(Debug)]
struct Seen {
    reads: Reads,
    known: Vec<(Key, Known)>,
    next: usize,
}

/// What it is of with such tiles, and the bytes from its address on that it may ask for.
#[derive(Clone, Copy, Debug)]
struct Known {
    prototype: u32,
    bytes: Option<u64>,
}

impl Glance {
    /// Another program comes.
    pub(super) fn clear(&mut self) {
        self.words.clear();
    }

    /// Passes a word and says what of it matters to time; `None` if the program ends there.
    ///
    /// # Errors
    /// A word without a meaning.
    pub(super) fn pass(
        &mut self,
        control: &mut Control,
        names: &mut Names,
        prototypes: &mut Prototypes,
        job: &crate::machine::Job<'_>,
    ) -> Result<Met, Fault> {
        let pc = control.pc;
        let step = match control.advance(job.program)? {
            Word::Tile(tile) => {
                names[tile.index()] = u32::MAX;
                Step::Control
            }
            Word::Control => Step::Control,
            Word::Fence => Step::Fence,
            Word::Halt => Step::Halt,
            Word::Dispatch(inst) => return self.dispatch(inst, pc, control, names, prototypes, job),
        };
        Ok(prototypes.meet(pc, &step, 0, &[]))
    }

    fn dispatch(
        &mut self,
        inst: &Inst,
        pc: u32,
        control: &Control,
        names: &mut Names,
        prototypes: &mut Prototypes,
        job: &crate::machine::Job<'_>,
    ) -> Result<Met, Fault> {
        let recognised = self.recognise(pc, control, names, prototypes);
        if let Some(met) = recognised.clone().filter(|_| !cfg!(debug_assertions)) {
            return Ok(met);
        }
        let dispatch = control.dispatch(inst, pc)?;
        let mut op = dispatch.op;
        let met = prototypes.meet(pc, &Step::Dispatch(dispatch), job.marks[pc as usize], job.mailbox);
        if let Some(recognised) = recognised {
            debug_assert_eq!(recognised, met, "a word is what it is worked out to be");
            return Ok(met);
        }
        // A gather has as many addresses as rows, and they are the mailbox's.
        if !matches!(op, Op::Gather { .. }) {
            let at = pc as usize;
            if self.words.len() <= at {
                self.words.resize_with(at + 1, || None);
            }
            let mut bytes = None;
            addresses(&mut op, job.mailbox, |_, from_there| bytes = Some(from_there));
            let reads = inst.reads();
            if let Some(key) = self.key(&reads, control, names, prototypes.banks) {
                let seen = || Box::new(Seen { reads, known: Vec::new(), next: 0 });
                let known = &mut self.words[at].get_or_insert_with(seen).known;
                known.push((key, Known { prototype: met.prototype, bytes }));
            }
        }
        Ok(met)
    }

    /// A word that has come with the same tiles before.
    fn recognise(
        &mut self,
        pc: u32,
        control: &Control,
        names: &mut Names,
        prototypes: &Prototypes,
    ) -> Option<Met> {
        let mut seen = self.words.get_mut(pc as usize)?.take()?;
        let key = self.key(&seen.reads, control, names, prototypes.banks);
        let found = key.and_then(|key| {
            let Seen { known, next, .. } = &mut *seen;
            in_turn(known, next, |(k, _)| *k == key).map(|at| known[at].1)
        });
        let fits = seen.reads.sizes.iter().all(|&size| control.size(size).is_ok());
        let address = seen.reads.address.map(|(base, offset)| control.address(base, offset));
        self.words[pc as usize] = Some(seen);
        let Known { prototype, bytes } = found.filter(|_| fits)?;
        let mut places = Places::default();
        if let (Some(address), Some(bytes)) = (address, bytes) {
            places.push(prototypes.place(address.ok()?, bytes));
        }
        Some(Met { pc, prototype, places })
    }

    /// The tiles that a word names, by number.
    fn key(&mut self, reads: &Reads, control: &Control, names: &mut Names, banks: u32) -> Option<Key> {
        let mut key = [u32::MAX; 4];
        for (slot, &tile) in key.iter_mut().zip(&reads.tiles) {
            if names[tile.index()] == u32::MAX {
                names[tile.index()] = self.name(tile, control.tile(tile).ok()?, banks);
            }
            *slot = names[tile.index()];
        }
        (reads.tiles.len() <= key.len()).then_some(key)
    }

    fn name(&mut self, register: TileId, mut tile: TileRef, banks: u32) -> u32 {
        tile.base %= banks;
        if self.held.is_empty() {
            self.held.resize_with(TILES, Vec::new);
        }
        let held = &mut self.held[register.index()];
        if let Some(&known) = held.iter().rev().find(|&&i| self.tiles[i as usize] == tile) {
            return known;
        }
        let name = self.tiles.iter().position(|&known| known == tile).unwrap_or(self.tiles.len());
        if name == self.tiles.len() {
            self.tiles.push(tile);
        }
        held.push(name as u32);
        name as u32
    }
}

/// Whether the program ends there.
pub(super) fn ends(prototype: u32) -> bool {
    prototype & CONTROL != 0 && prototype & 3 == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_in_turn_is_found_wherever_it_is() {
        let (all, mut next) = ([3, 5, 7], 0);
        let mut find = |x| in_turn(&all, &mut next, |&y| y == x);
        assert_eq!(
            [find(3), find(5), find(3), find(7), find(9), find(3)],
            [Some(0), Some(1), Some(0), Some(2), None, Some(0)]
        );
    }

    #[test]
    fn a_place_is_a_phase_and_the_row_units_that_are_touched() {
        let prototypes = Prototypes::new(1024, 64);
        assert_eq!(prototypes.place(1000, 24), (1000, (0, 0)));
        assert_eq!(prototypes.place(1000, 25), (1000, (0, 1)));
        assert_eq!(prototypes.place(2048, 0), (0, (2, 2)));
        assert_eq!(prototypes.place(5 * 1024 + 7, 4096), (7, (5, 9)));
    }

    #[test]
    fn the_end_is_told_from_other_words() {
        assert!(ends(control(7, 2)) && !ends(control(7, 1)) && !ends(control(7, 0)) && !ends(2));
    }
}
