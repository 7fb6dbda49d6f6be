//! The words that the sequencer executes, one after the other; they can be looked at before it gets to them.
//!
//! Control flow does not depend on time, so what comes next is known ahead. A word is recognised by its prototype: the
//! same operation on tiles in the same banks, wherever in DRAM; its addresses there are kept apart.

use std::collections::VecDeque;

use lutsim_dram::Rows;
use lutsim_isa::{Control, Dispatch, Fault, Reg, Step};

use crate::leap::addresses;

/// A word and what it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) pc: u32,
    pub(crate) step: Step,
    /// Which prototype it is of; a word of control is its own.
    pub(crate) prototype: u32,
    /// Its addresses in DRAM.
    pub(crate) places: Places,
}

/// Addresses in DRAM: how far into a row, and the rows. Nearly every word has at most one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    first: Option<(u64, Rows)>,
    others: Vec<(u64, Rows)>,
}

impl Places {
    fn push(&mut self, place: (u64, Rows)) {
        if self.first.is_none() { self.first = Some(place) } else { self.others.push(place) }
    }
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u64, Rows)> {
        self.first.iter().chain(&self.others)
    }
}

/// Prototypes of words of control have this bit, and their kind and number.
const CONTROL: u32 = 1 << 31;

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
    pub(crate) fn dispatch(&self, prototype: u32) -> Dispatch {
        self.known[prototype as usize].0
    }
    fn word(&mut self, pc: u32, step: Step, mark: u32, mailbox: &[u32]) -> Word {
        let mut places = Places::default();
        let kind = match step {
            Step::Control => 0,
            Step::Fence => 1,
            Step::Halt => 2,
            Step::Dispatch(dispatch) => {
                let mut bare = dispatch;
                let (span, banks) = (self.span, self.banks);
                bare.op.each_tile(|tile| tile.base %= banks);
                crate::vector::forget_values(&mut bare.op);
                addresses(&mut bare.op, mailbox, |address, bytes| {
                    places.push((*address % span, (*address / span, (*address + bytes.max(1) - 1) / span)));
                    *address = 0;
                });
                return Word { pc, step, prototype: self.number(bare, mark), places };
            }
        };
        Word { pc, step, prototype: CONTROL | pc << 2 | kind, places }
    }
    fn number(&mut self, bare: Dispatch, mark: u32) -> u32 {
        let pc = bare.pc as usize;
        if self.by_word.len() <= pc {
            self.by_word.resize_with(pc + 1, Default::default);
        }
        let (same, next) = &mut self.by_word[pc];
        let known = &mut self.known;
        let (behind, ahead) = same.split_at(*next);
        let met = |&i: &u32| known[i as usize] == (bare, mark);
        let at = match ahead.iter().position(met) {
            Some(at) => at + behind.len(),
            None => behind.iter().position(met).unwrap_or(same.len()),
        };
        if at == same.len() {
            same.push(known.len() as u32);
            known.push((bare, mark));
        }
        *next = at + 1;
        same[at]
    }
}

/// The words of one program run.
#[derive(Debug)]
pub(crate) struct Feed {
    control: Control,
    ahead: VecDeque<Result<Word, Fault>>,
    /// Kept if words are to be recognised.
    pub(crate) prototypes: Option<Prototypes>,
    /// Words taken since it was last cleared, if anybody wants to know.
    pub(crate) taken: Vec<Word>,
    pub(crate) watched: bool,
    /// Whether the next word's number was looked at: it says what to fetch.
    pub(crate) looked: bool,
}

impl Feed {
    pub(crate) fn new(prototypes: Option<Prototypes>) -> Self {
        Self {
            control: Control::new(&[]),
            ahead: VecDeque::new(),
            prototypes,
            taken: Vec::new(),
            watched: false,
            looked: false,
        }
    }
    /// Another run begins.
    pub(crate) fn begin(&mut self, registers: &[(Reg, u64)], mailbox: &[u32]) {
        self.control = Control::with_mailbox(registers, mailbox);
        self.ahead.clear();
        self.taken.clear();
        self.watched = false;
    }
    /// The next word's number, by which the sequencer chooses what to fetch.
    pub(crate) fn look(&mut self) -> u32 {
        self.looked = true;
        self.pc()
    }
    /// The next word's number.
    pub(crate) fn pc(&self) -> u32 {
        match self.ahead.front() {
            Some(Ok(word)) => word.pc,
            Some(Err(fault)) => fault.pc,
            None => self.control.pc,
        }
    }
    fn pull(&mut self, job: &crate::machine::Job<'_>) -> Result<Word, Fault> {
        let pc = self.control.pc;
        let step = self.control.step(job.program)?;
        let Some(prototypes) = &mut self.prototypes else {
            return Ok(Word { pc, step, prototype: 0, places: Places::default() });
        };
        Ok(prototypes.word(pc, step, job.marks[pc as usize], job.mailbox))
    }
    /// Takes the next word.
    pub(crate) fn next(&mut self, job: &crate::machine::Job<'_>) -> Result<(u32, Step, u32), Fault> {
        let word = match self.ahead.pop_front() {
            Some(word) => word,
            None => self.pull(job),
        }?;
        let next = (word.pc, word.step, word.prototype);
        self.looked = false;
        if self.watched {
            self.taken.push(word);
        }
        Ok(next)
    }
    /// Looks at a word that has not been taken yet; none behind a fault or the end.
    pub(crate) fn peek(&mut self, i: usize, job: &crate::machine::Job<'_>) -> Option<&Word> {
        while self.ahead.len() <= i {
            if self.ahead.back().is_some_and(|w| !matches!(w, Ok(word) if !matches!(word.step, Step::Halt))) {
                return None;
            }
            let word = self.pull(job);
            self.ahead.push_back(word);
        }
        self.ahead[i].as_ref().ok()
    }
    /// Words that were peeked at.
    pub(crate) fn peeked(&self, count: usize) -> impl Iterator<Item = &Word> {
        self.ahead.iter().take(count).flatten()
    }
    /// Leaves out words that were peeked at.
    pub(crate) fn skip(&mut self, count: usize) {
        self.ahead.drain(..count);
    }
}
