//! One memory channel: a controller and its device behind one clocked interface.
//!
//! ```text
//! push(now) --> inbox --> scheduler --> device (timing, banks, counters, command log)
//! step(now) --> completions with their clock, and the next clock worth running
//! ```

use crate::canon::Canon;
use crate::command::Command;
use crate::counters::Counters;
use crate::device::{Device, Issued};
use crate::dramsim3::Dramsim3;
use crate::error::Error;
use crate::frfcfs::FrFcfs;
use crate::mapping::Mapping;
use crate::policy::{Page, Policy, RefreshPolicy, RefreshScope, Scheduler};
use crate::queue::Entry;
use crate::ramulator2::Ramulator2;
use crate::refresh::Margin;
use crate::standard::Standard;

/// A request's data is on its way: reported when its column command issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// The tag given to [`Channel::push`].
    pub tag: u32,
    /// Whether it was a write.
    pub write: bool,
    /// Clock of the data callback (read) or of the acknowledgement (write).
    pub ready: u64,
}

/// Requests inserted but not yet visible to the scheduler.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inbox {
    entries: Vec<Entry>,
    next: usize,
    counts: [u32; 2],
}

impl Inbox {
    #[inline]
    fn push(&mut self, entry: Entry) {
        self.counts[entry.write as usize] += 1;
        if self.next >= 64 {
            self.entries.drain(..self.next);
            self.next = 0;
        }
        self.entries.push(entry);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a read or a write of the same burst is in it.
    pub(crate) fn holds(&self, write: bool, entry: &Entry) -> bool {
        self.entries[self.next..].iter().any(|e| e.write == write && e.same_burst(entry))
    }

    /// When the last that was inserted is seen.
    #[inline]
    fn wake(&self) -> u64 {
        self.entries.last().map_or(u64::MAX, |e| e.arrival + 1)
    }

    /// All that is in it was inserted at or before `c.now`, and so will be taken at the next step.
    fn walk(&mut self, c: &mut Canon) {
        let mut len = self.entries.len() - self.next;
        c.size(&mut len);
        if c.reading() {
            *self = Inbox::default();
            for _ in 0..len {
                let mut entry = Entry { arrival: c.now, ..Entry::default() };
                entry.walk(c);
                self.push(entry);
            }
            return;
        }
        self.entries[self.next..].iter_mut().for_each(|entry| entry.walk(c));
    }

    /// The oldest request inserted before `now`.
    #[inline]
    pub(crate) fn take_before(&mut self, now: u64) -> Option<Entry> {
        let entry = *self.entries.get(self.next)?;
        if entry.arrival >= now {
            return None;
        }
        self.next += 1;
        if self.next == self.entries.len() {
            self.entries.clear();
            self.next = 0;
        }
        self.counts[entry.write as usize] -= 1;
        Some(entry)
    }
}

#[derive(Debug, Clone)]
enum Core {
    FrFcfs(Box<FrFcfs>),
    Dramsim3(Box<Dramsim3>),
    Ramulator2(Box<Ramulator2>),
}

/// One controller with its device.
#[derive(Debug, Clone)]
pub struct Channel {
    device: Device,
    core: Core,
    inbox: Inbox,
    mapping: Mapping,
    capacity: [u32; 2],
    /// What [`Channel::wake`] answers.
    wake: u64,
}

impl Channel {
    /// Builds a channel of `standard` under `policy`.
    pub fn new(standard: &Standard, policy: &Policy) -> Result<Channel, Error> {
        policy.check()?;
        let per_bank = policy.refresh.scope == RefreshScope::PerBank;
        if per_bank && !standard.has(Command::RefreshBank) {
            return Err(Error::policy(format!("{} has no per-bank refresh", standard.name)));
        }
        let own = if per_bank { standard.refresh_bank_interval() } else { standard.refresh_interval };
        if let Some(interval) = policy.refresh.interval
            && policy.refresh.policy != RefreshPolicy::Off
            && !(1..=own).contains(&interval)
        {
            return Err(Error::policy(format!(
                "refresh interval {interval} must lie between 1 and the standard's {own} clocks"
            )));
        }
        if policy.scheduler != Scheduler::FrFcfs
            && (per_bank || policy.refresh.policy == RefreshPolicy::Aligned || policy.page == Page::Closed)
        {
            let message =
                "the references' controllers come with open pages and all-bank refresh by timer or none";
            return Err(Error::policy(message));
        }
        if let Some(rest) = policy.power_down {
            let settled = standard.read_latency.max(standard.write_latency);
            if policy.scheduler != Scheduler::FrFcfs {
                return Err(Error::policy("the references' controllers come without power-down"));
            }
            if standard.power_down_exit.is_none() {
                return Err(Error::policy(format!("{} gives no power-down exit time", standard.name)));
            }
            if rest.self_refresh_after.is_some() && standard.self_refresh_exit.is_none() {
                return Err(Error::policy(format!("{} gives no self-refresh exit time", standard.name)));
            }
            if rest.after < settled || rest.self_refresh_after.is_some_and(|a| a < rest.after) {
                return Err(Error::policy(format!(
                    "power-down after {} clocks must come after the last data ({settled} clocks) and before self-refresh",
                    rest.after
                )));
            }
        }
        if policy.scheduler == Scheduler::Dramsim3
            && (standard.act2_deadline.is_some() || standard.data_clock_hold.is_some())
        {
            return Err(Error::policy("DRAMsim3's controller knows no split activates and no data clock"));
        }
        if policy.scheduler == Scheduler::Ramulator2 && !standard.has(Command::PrechargeAll) {
            return Err(Error::policy(format!(
                "Ramulator's controller needs PREab, which {} lacks",
                standard.name
            )));
        }
        let mapping = match &policy.mapping {
            Some(fields) => Mapping::new(standard, fields, &policy.mapping_xor)?,
            None => standard.default_mapping()?,
        };
        let (core, used) = match policy.scheduler {
            Scheduler::FrFcfs => {
                (Core::FrFcfs(Box::new(FrFcfs::new(standard, policy))), FrFcfs::used(standard, policy))
            }
            Scheduler::Dramsim3 => {
                (Core::Dramsim3(Box::new(Dramsim3::new(standard, policy))), Dramsim3::used())
            }
            Scheduler::Ramulator2 => {
                (Core::Ramulator2(Box::new(Ramulator2::new(standard, policy))), Ramulator2::used(standard))
            }
        };
        let mut channel = Channel {
            device: Device::new(standard, used),
            core,
            inbox: Inbox::default(),
            mapping,
            capacity: [policy.read_queue, policy.write_queue],
            wake: 0,
        };
        channel.wake = channel.next_wake();
        Ok(channel)
    }

    /// Bursts of this kind that may still be pushed.
    #[inline]
    pub fn free_slots(&self, write: bool) -> u32 {
        let queued = match &self.core {
            Core::FrFcfs(c) => c.len(write),
            Core::Dramsim3(c) => c.len(write),
            Core::Ramulator2(c) => c.len(write),
        };
        self.capacity[write as usize].saturating_sub(queued + self.inbox.counts[write as usize])
    }

    /// Whether one more burst of this kind may be pushed.
    #[inline]
    pub fn can_accept(&self, write: bool) -> bool {
        self.free_slots(write) > 0
    }

    /// Whether this burst may be pushed: there is a free slot, or it needs none.
    #[inline]
    pub fn accepts(&self, burst: u64, write: bool) -> bool {
        self.can_accept(write) || self.absorbs(burst, write)
    }

    /// Whether it needs no slot: Ramulator's controller answers what asks for a queued write's burst.
    #[inline(never)]
    fn absorbs(&self, burst: u64, write: bool) -> bool {
        match &self.core {
            Core::Ramulator2(c) if c.len(true) + self.inbox.counts[1] > 0 => {
                c.absorbs(&self.entry(0, burst, write, 0), &self.inbox)
            }
            _ => false,
        }
    }

    #[inline]
    fn entry(&self, arrival: u64, burst: u64, write: bool, tag: u32) -> Entry {
        let place = self.mapping.place(burst);
        let bank = place.bank as u8;
        let (row, column) = (place.row, place.column);
        Entry { arrival, row, column, tag, bank, write, precharged: false, activated: false }
    }

    /// Inserts one burst by its index in the channel. The scheduler looks at it at `now + 1` at the earliest, so the
    /// channel wants a [`Channel::step`] then. Clocks must not go backwards, and it must be accepted.
    #[inline]
    pub fn push(&mut self, now: u64, burst: u64, write: bool, tag: u32) {
        debug_assert!(self.accepts(burst, write), "push into a full queue");
        let entry = self.entry(now, burst, write, tag);
        match &mut self.core {
            // nothing was going to happen at `now` any more, so the request may be looked at right away
            Core::FrFcfs(c) if c.wake > now && self.inbox.entries.is_empty() => {
                c.insert(&mut self.device, entry, now + 1)
            }
            Core::FrFcfs(_) => self.inbox.push(entry),
            _ => self.push_or_absorb(entry),
        }
        self.wake = self.next_wake();
    }

    #[inline(never)]
    fn push_or_absorb(&mut self, entry: Entry) {
        let absorbed = match &mut self.core {
            Core::FrFcfs(_) => false,
            Core::Dramsim3(c) => c.absorb(entry, &self.inbox),
            Core::Ramulator2(c) => c.absorb(entry, &self.inbox),
        };
        if !absorbed {
            self.inbox.push(entry);
        }
    }

    /// Next clock at which a step does anything, as far as known: after a push, `now + 1` or later. Stepping at other
    /// clocks is harmless.
    #[inline]
    pub fn wake(&self) -> u64 {
        self.wake
    }

    #[inline]
    fn next_wake(&self) -> u64 {
        let inbox = self.inbox.wake();
        match &self.core {
            Core::FrFcfs(c) => c.wake.min(inbox),
            Core::Dramsim3(c) => c.wake.min(inbox),
            Core::Ramulator2(c) => c.wake.min(inbox),
        }
    }

    /// Runs command clock `now`: issues at most one command (HBM: one row and one column command), appends what
    /// completed to `done`, and returns the next clock at which it wants to run (`u64::MAX`: only after a push).
    #[inline]
    pub fn step(&mut self, now: u64, done: &mut Vec<Completion>) -> u64 {
        let next = match &mut self.core {
            Core::FrFcfs(c) => c.step(&mut self.device, &mut self.inbox, now, done),
            Core::Dramsim3(c) => c.step(&mut self.device, &mut self.inbox, now, done),
            Core::Ramulator2(c) => c.step(&mut self.device, &mut self.inbox, now, done),
        };
        self.wake = self.inbox.wake().min(next);
        next
    }

    /// Runs from `now` on, at the clocks at which something can happen, until something completes or a burst of this
    /// kind may be pushed, as it may not yet. Returns the clock of the last step, and how many there were.
    pub fn run_until_room(&mut self, mut now: u64, write: bool, done: &mut Vec<Completion>) -> (u64, u64) {
        let mut steps = 0;
        while done.is_empty() && !self.can_accept(write) {
            now = self.wake.max(now + 1);
            self.step(now, done);
            steps += 1;
        }
        (now, steps)
    }

    /// Under the `aligned` refresh policy: this is a good moment, issue what is owed. Step the channel at `now + 1`.
    pub fn refresh_hint(&mut self, now: u64) {
        if let Core::FrFcfs(c) = &mut self.core {
            c.hint(now, &mut self.device);
        }
        self.wake = self.next_wake();
    }

    /// Under the `aligned` refresh policy: issue one more refresh than is owed, and count the interval from here, so that
    /// what follows does not depend on what was before. Step the channel at `now + 1`.
    pub fn refresh_restart(&mut self, now: u64) {
        if let Core::FrFcfs(c) = &mut self.core {
            c.restart(now, &mut self.device);
        }
        self.wake = self.next_wake();
    }

    /// Requests that have not been issued yet.
    pub fn pending(&self) -> u32 {
        let queued = match &self.core {
            Core::FrFcfs(c) => c.len(false) + c.len(true),
            Core::Dramsim3(c) => c.pending(),
            Core::Ramulator2(c) => c.pending(),
        };
        queued + self.inbox.counts[0] + self.inbox.counts[1]
    }

    /// Reads or writes that it holds.
    pub fn queued(&self, write: bool) -> u32 {
        self.capacity[write as usize].saturating_sub(self.free_slots(write))
    }

    /// Whether it serves writes before any read until few are left: as long as writes keep coming, no read is served.
    pub fn is_draining(&self) -> bool {
        matches!(&self.core, Core::FrFcfs(c) if c.is_draining())
    }

    /// Counters; background clocks are complete up to the last change only, see [`Channel::counters_at`].
    pub fn counters(&self) -> &Counters {
        &self.device.counters
    }

    /// Counters with background clocks complete up to `now` (exclusive) and the refreshes forced.
    pub fn counters_at(&self, now: u64) -> Counters {
        let mut c = self.device.counters_at(now);
        if let Core::FrFcfs(core) = &self.core {
            c.forced_refreshes = core.forced();
            core.count_rest(&self.device, &mut c, now);
        }
        c
    }

    /// Whether [`Channel::walk`] knows this controller: ours, without a command log.
    pub fn can_walk(&self) -> bool {
        matches!(self.core, Core::FrFcfs(_)) && self.device.log.is_none()
    }

    /// Rows that a change of the row's low bits may move to other banks: that many low bits belong together.
    pub fn row_unit(&self) -> u32 {
        self.mapping.row_unit()
    }

    /// First bit of the row in a burst's number.
    pub fn row_bit(&self) -> u32 {
        self.mapping.row_bit()
    }

    /// Walks the state relative to clock `c.now`, at which all is done; reading it back leaves the counters as they are,
    /// and wants [`Channel::set_due`] after it. Only if [`Channel::can_walk`].
    pub fn walk(&mut self, c: &mut Canon) {
        let Core::FrFcfs(core) = &mut self.core else { return };
        core.walk(&mut self.device, c);
        self.inbox.walk(c);
        self.wake = self.next_wake();
    }

    /// Clock at which the next refresh falls due, `u64::MAX` if none.
    pub fn due(&self) -> u64 {
        match &self.core {
            Core::FrFcfs(c) => c.refresh.next_due,
            _ => u64::MAX,
        }
    }

    /// The next refresh falls due at `clock`.
    pub fn set_due(&mut self, clock: u64) {
        if let Core::FrFcfs(c) = &mut self.core {
            c.refresh.next_due = clock;
            c.wake = c.wake.min(clock);
        }
        self.wake = self.next_wake();
    }

    /// Watches from now on how far the next due time could be moved.
    pub fn watch_due(&mut self) {
        if let Core::FrFcfs(c) = &mut self.core {
            c.refresh.watch();
        }
    }

    /// How far it could have been moved, since it was watched and up to `now`, with nothing else changed.
    pub fn due_margin(&self, now: u64) -> Margin {
        match &self.core {
            Core::FrFcfs(c) => c.refresh.watched(now),
            _ => Margin::FREE,
        }
    }

    /// Starts (or stops) recording issued commands.
    pub fn set_command_log(&mut self, on: bool) {
        self.device.log = on.then(Vec::new);
    }

    /// Commands issued since recording started.
    pub fn command_log(&self) -> &[Issued] {
        self.device.log.as_deref().unwrap_or(&[])
    }

    /// Takes the commands recorded so far; recording goes on.
    pub fn take_command_log(&mut self) -> Vec<Issued> {
        self.device.log.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
