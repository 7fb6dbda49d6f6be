//! The words that the sequencer executes, one after the other; they can be looked at before it gets to them.
//!
//! Control flow does not depend on time, so what comes next is known ahead. A word is recognised by its prototype: the
//! same operation on tiles in the same banks, wherever in DRAM; its addresses there are kept apart.

mod prototypes;

use lutsim_dram::Rows;
use lutsim_isa::{Control, Dispatch, Fault, Reg, Step};

pub(crate) use prototypes::Prototypes;

use self::prototypes::{Glance, Names, UNNAMED};
use crate::machine::Job;

/// What of a word matters to time.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Met {
    pub(crate) pc: u32,
    /// Which prototype it is of; a word of control is its own.
    pub(crate) prototype: u32,
    /// Its addresses in DRAM.
    pub(crate) places: Places,
}

/// Addresses in DRAM: how far into a row, and the rows. Nearly every word has at most one.
#[derive(Clone, PartialEq, Debug, Default)]
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

/// The words of one program run.
#[derive(Debug)]
pub(crate) struct Feed {
    control: Control,
    /// Of the words at `control`.
    names: Names,
    glance: Glance,
    /// Kept if words are to be recognised.
    pub(crate) prototypes: Option<Prototypes>,
    /// Words looked at, `control` being behind them, and where it was before.
    ahead: Vec<Met>,
    before: (Control, Names),
    /// Nothing comes behind the words looked at.
    ended: bool,
    /// Words taken since it was last cleared, if anybody wants to know.
    pub(crate) taken: Vec<Met>,
    pub(crate) watched: bool,
    /// Whether the next word's number was looked at: it says what to fetch.
    pub(crate) looked: bool,
}

impl Feed {
    pub(crate) fn new(prototypes: Option<Prototypes>) -> Self {
        Self {
            control: Control::new(&[]),
            names: UNNAMED,
            glance: Glance::default(),
            prototypes,
            ahead: Vec::new(),
            before: (Control::new(&[]), UNNAMED),
            ended: false,
            taken: Vec::new(),
            watched: false,
            looked: false,
        }
    }
    /// Another run begins.
    pub(crate) fn begin(&mut self, registers: &[(Reg, u64)], mailbox: &[u32]) {
        self.control = Control::with_mailbox(registers, mailbox);
        self.names = UNNAMED;
        self.glance.clear();
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
        self.ahead.first().map_or(self.control.pc, |word| word.pc)
    }
    /// Takes the next word, which nobody looked at.
    pub(crate) fn next(&mut self, job: &Job<'_>) -> Result<(u32, Step, u32), Fault> {
        debug_assert!(self.ahead.is_empty(), "words that were looked at are passed or forgotten");
        let pc = self.control.pc;
        let step = self.control.step(job.program)?;
        self.looked = false;
        let Some(prototypes) = &mut self.prototypes else { return Ok((pc, step, 0)) };
        if matches!(step, Step::Control) {
            // It may have described a tile.
            self.names = UNNAMED;
        }
        let met = prototypes.meet(pc, &step, job.marks[pc as usize], job.mailbox);
        let prototype = met.prototype;
        if self.watched {
            self.taken.push(met);
        }
        Ok((pc, step, prototype))
    }

    /// Looks at a word that has not been taken yet; none behind a fault or the end. Whoever looked says what becomes of them:
    /// [`Feed::pass`], [`Feed::execute`] or [`Feed::forget`].
    pub(crate) fn peek(&mut self, i: usize, job: &Job<'_>) -> Option<&Met> {
        if i < self.ahead.len() {
            return self.ahead.get(i);
        }
        self.peek_further(i, job)
    }
    fn peek_further(&mut self, i: usize, job: &Job<'_>) -> Option<&Met> {
        if self.ahead.is_empty() {
            self.before.0.clone_from(&self.control);
            self.before.1 = self.names;
            self.ended = false;
        }
        let prototypes = self.prototypes.as_mut()?;
        while self.ahead.len() <= i {
            if self.ended {
                return None;
            }
            let pc = self.control.pc;
            let Ok(met) = self.glance.pass(&mut self.control, &mut self.names, prototypes, job) else {
                // The fault is met when the word is taken: it is the next one still.
                self.control.pc = pc;
                self.ended = true;
                return None;
            };
            self.ended = prototypes::ends(met.prototype);
            self.ahead.push(met);
        }
        self.ahead.get(i)
    }
    /// The number of the word behind `count` of those that were looked at.
    pub(crate) fn pc_behind(&self, count: usize) -> u32 {
        self.ahead.get(count).map_or(self.control.pc, |word| word.pc)
    }
    /// The sequencer's state, nothing being looked at.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }
    /// Goes on from another state of it.
    pub(crate) fn go_on_from(&mut self, control: Control) {
        (self.control, self.names) = (control, UNNAMED);
    }
    /// Leaves out words that were looked at.
    ///
    /// # Errors
    /// None that were not met when they were looked at.
    pub(crate) fn pass(&mut self, count: usize, job: &Job<'_>) -> Result<(), Fault> {
        if self.ahead.len() == count {
            self.ahead.clear();
            return Ok(());
        }
        self.forget();
        let Some(prototypes) = &mut self.prototypes else { return Ok(()) };
        for _ in 0..count {
            self.glance.pass(&mut self.control, &mut self.names, prototypes, job)?;
        }
        Ok(())
    }
    /// The same, and what they ask for.
    ///
    /// # Errors
    /// None that were not met when they were looked at, and those of `each`.
    pub(crate) fn execute<E: From<Fault>>(
        &mut self,
        count: usize,
        job: &Job<'_>,
        mut each: impl FnMut(&Dispatch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.forget();
        for _ in 0..count {
            if let Step::Dispatch(dispatch) = self.control.step(job.program)? {
                each(&dispatch)?;
            }
        }
        self.names = UNNAMED;
        Ok(())
    }
    /// Nobody looked.
    pub(crate) fn forget(&mut self) {
        if !self.ahead.is_empty() {
            self.ahead.clear();
            self.control.clone_from(&self.before.0);
            self.names = self.before.1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word without a meaning is met when it is taken, whoever looked at it before.
    #[test]
    fn a_fault_that_was_looked_at_is_still_to_come() {
        for before in [0, 1] {
            let text = format!("{}vcopy t1, t0, -, -\nhalt\n", "add r1, r1, #1\n".repeat(before));
            let program = lutsim_isa::asm::assemble(&text).unwrap();
            let marks = vec![0; program.code.len()];
            let job = Job {
                program: &program,
                address: 0,
                marks: &marks,
                operators: 1,
                registers: &[],
                mailbox: &[],
                result_bytes: 0,
            };
            let mut feed = Feed::new(Some(Prototypes::new(1 << 20, 64)));
            feed.begin(&[], &[]);
            for _ in 0..2 {
                assert!(feed.peek(before, &job).is_none());
                assert_eq!((feed.pc(), feed.pc_behind(before)), (0, before as u32));
                feed.forget();
            }
            assert!(feed.peek(before, &job).is_none());
            feed.pass(before, &job).unwrap();
            let fault = feed.next(&job).unwrap_err();
            assert_eq!(fault.pc, before as u32, "{fault}");
        }
    }
}
