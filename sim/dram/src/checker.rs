//! An independent judge of command traces: reads the constraint table of a standard and a list of commands, knows
//! nothing of schedulers, and shares no code with `timing`.
//!
//! It keeps, for every row of the table and every node, the clocks of the preceding commands, and looks back from each
//! following command. Beside the table it checks what no table says: rows must be open for data and closed for
//! activates and refreshes, the command bus carries one command per clock, halves of a split activate stay together,
//! the data clock is synchronised, refreshes do not fall behind.

use std::collections::{BTreeMap, VecDeque};

use crate::command::Command;
use crate::device::Issued;
use crate::standard::Standard;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Index of the offending command in the trace.
    pub index: usize,
    /// Its clock.
    pub clock: u64,
    /// The rule, in words.
    pub rule: String,
}

/// What to check beside the constraint table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// Refreshes of a scope that may be outstanding at any time; nothing is checked if absent.
    pub postponed_at_most: Option<u64>,
    /// Clock at which the trace ends, for the refreshes that never came.
    pub end: u64,
}

/// Checks a trace; the result is empty if it is legal. Each rule reports at most ten violations.
pub fn check(standard: &Standard, trace: &[Issued], rules: Rules) -> Vec<Violation> {
    let mut out = Vec::new();
    for row in 0..standard.constraints.len() {
        check_row(standard, row, trace, &mut out);
    }
    check_states(standard, trace, &mut out);
    check_bus(standard, trace, &mut out);
    check_data_clock(standard, trace, &mut out);
    if let Some(most) = rules.postponed_at_most {
        check_refresh(standard, trace, most, rules.end, &mut out);
    }
    out
}

/// Coordinates of a command's target; a command to a scope leaves the levels below the scope open (`None`).
fn target(s: &Standard, c: &Issued) -> Vec<Option<u32>> {
    let depth = match c.command {
        k if k.is_channel() => 0,
        k if k.is_scope() => s.refresh_level,
        _ => s.levels.len(),
    };
    let mut rest = c.bank as u32;
    let mut out = vec![None; s.levels.len()];
    for level in (0..depth).rev() {
        out[level] = Some(rest % s.levels[level].count);
        rest /= s.levels[level].count;
    }
    out
}

fn check_row(s: &Standard, row: usize, trace: &[Issued], out: &mut Vec<Violation>) {
    let c = &s.constraints[row];
    if c.clocks <= 0 {
        return;
    }
    let mut found = 0;
    // by preceding command and by node (the coordinates down to the row's level)
    let mut history: BTreeMap<(Command, Vec<Option<u32>>), VecDeque<u64>> = BTreeMap::new();
    for (index, issued) in trace.iter().enumerate() {
        let (before, after) = (c.preceding.contains(&issued.command), c.following.contains(&issued.command));
        if !before && !after {
            continue;
        }
        let node = target(s, issued)[..c.level].to_vec();
        if after {
            for ((command, other), clocks) in &history {
                let same = node.iter().zip(other).all(|(a, b)| a == b || a.is_none() || b.is_none());
                let applies =
                    if c.sibling { !same && node[..c.level - 1] == other[..c.level - 1] } else { same };
                let window = c.window as usize;
                if !applies || clocks.len() < window {
                    continue;
                }
                let since = clocks[clocks.len() - window];
                if issued.clock < since + c.clocks as u64 && found < 10 {
                    found += 1;
                    let (level, gap) = (level_name(s, c.level), issued.clock - since);
                    let (a, b) = (command.name(), issued.command.name());
                    let kind = if c.sibling { " between siblings" } else { "" };
                    let rule =
                        format!("{level}{kind}: {a} -> {b} after {gap} clocks, at least {} needed", c.clocks);
                    out.push(Violation { index, clock: issued.clock, rule });
                }
            }
        }
        if before {
            let clocks = history.entry((issued.command, node)).or_default();
            clocks.push_back(issued.clock);
            if clocks.len() > c.window as usize {
                clocks.pop_front();
            }
        }
    }
}

fn level_name(s: &Standard, level: usize) -> &str {
    if level == 0 { "Channel" } else { &s.levels[level - 1].name }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Closed,
    Half { row: u32, since: u64 },
    Open { row: u32 },
}

fn check_states(s: &Standard, trace: &[Issued], out: &mut Vec<Violation>) {
    let banks = s.banks() as usize;
    let per_scope = banks / s.nodes(s.refresh_level) as usize;
    let mut state = vec![State::Closed; banks];
    let mut found = 0;
    for (index, c) in trace.iter().enumerate() {
        let mut say = |rule: String| {
            found += 1;
            if found <= 10 {
                out.push(Violation { index, clock: c.clock, rule });
            }
        };
        if c.command.is_channel() {
            if state.iter().any(|b| *b != State::Closed) {
                say(format!("{} with open rows", c.command.name()));
            }
            continue;
        }
        let range = match c.command.is_scope() {
            true => c.bank as usize * per_scope..(c.bank as usize + 1) * per_scope,
            false => c.bank as usize..c.bank as usize + 1,
        };
        let name = c.command.name();
        for bank in &mut state[range] {
            match (c.command, *bank) {
                (Command::Activate, State::Closed) if s.act2_deadline.is_some() => {
                    *bank = State::Half { row: c.row, since: c.clock };
                }
                (Command::Activate, State::Closed) => *bank = State::Open { row: c.row },
                (Command::Activate2, State::Half { row, since }) if row == c.row => {
                    if c.clock > since + s.act2_deadline.unwrap_or(u64::MAX) {
                        say(format!("ACT2 comes {} clocks after its first half", c.clock - since));
                    }
                    *bank = State::Open { row };
                }
                (Command::Precharge | Command::PrechargeAll, State::Half { .. }) => {
                    say(format!("{name} between the halves of an activate"));
                    *bank = State::Closed;
                }
                (Command::Precharge | Command::PrechargeAll, _) => *bank = State::Closed,
                (Command::RefreshAll | Command::RefreshBank, State::Closed) => {}
                (Command::CasRead | Command::CasWrite, State::Open { .. }) => {}
                (k, State::Open { row }) if k.is_column() && row == c.row => {
                    if matches!(k, Command::ReadPrecharge | Command::WritePrecharge) {
                        *bank = State::Closed;
                    }
                }
                (_, State::Closed) => say(format!("{name} to a closed bank")),
                (_, State::Half { .. }) => say(format!("{name} to a bank between the halves of an activate")),
                (_, State::Open { row }) => say(format!("{name} for row {} while row {row} is open", c.row)),
            }
        }
    }
}

fn check_bus(s: &Standard, trace: &[Issued], out: &mut Vec<Violation>) {
    for (index, pair) in trace.windows(2).enumerate() {
        let [a, b] = pair else { continue };
        let both = s.dual_command && a.command.is_column() != b.command.is_column();
        let third = index > 0 && trace[index - 1].clock == b.clock;
        if b.clock < a.clock || (a.clock == b.clock && (!both || third)) {
            let rule = format!("{} and {} share the command bus", a.command.name(), b.command.name());
            out.push(Violation { index: index + 1, clock: b.clock, rule });
            if out.len() > 100 {
                return;
            }
        }
    }
}

fn check_data_clock(s: &Standard, trace: &[Issued], out: &mut Vec<Violation>) {
    let Some((read, write)) = s.data_clock_hold else { return };
    let (mut until, mut cas) = (0, None);
    for (index, c) in trace.iter().enumerate() {
        match c.command {
            Command::CasRead | Command::CasWrite => cas = Some((c.clock, c.bank)),
            k if k.is_column() => {
                if c.clock >= until && cas != Some((c.clock.wrapping_sub(1), c.bank)) {
                    let rule = format!("{} without data clock synchronisation", k.name());
                    out.push(Violation { index, clock: c.clock, rule });
                }
                let hold = if matches!(k, Command::Read | Command::ReadPrecharge) { read } else { write };
                until = until.max(c.clock + hold);
            }
            _ => {}
        }
    }
}

fn check_refresh(s: &Standard, trace: &[Issued], most: u64, end: u64, out: &mut Vec<Violation>) {
    let scopes = s.nodes(s.refresh_level) as usize;
    let banks = s.banks() as usize;
    // a scope is refreshed as often as its least refreshed bank
    let mut refreshes = vec![0u64; banks];
    // clocks in which the device refreshed itself do not count
    let (mut asleep, mut since) = (0u64, None);
    let mut judge = |refreshes: &[u64], index: usize, clock: u64| {
        let due = clock / s.refresh_interval;
        match refreshes.iter().enumerate().find(|(_, done)| due > **done + most + 1) {
            Some((bank, done)) if out.len() < 100 => {
                let rule = format!("bank {bank} was refreshed {done} times, {due} were due");
                out.push(Violation { index, clock, rule });
            }
            _ => {}
        }
    };
    for (index, c) in trace.iter().enumerate() {
        match c.command {
            Command::RefreshAll => {
                let per = banks / scopes;
                refreshes[c.bank as usize * per..(c.bank as usize + 1) * per]
                    .iter_mut()
                    .for_each(|r| *r += 1);
            }
            Command::RefreshBank => refreshes[c.bank as usize] += 1,
            Command::SelfRefreshEnter => {
                // the device begins with a refresh of its own (JESD79-4, JESD209-4: at least one, at entry)
                refreshes.iter_mut().for_each(|r| *r += 1);
                since = Some(c.clock);
            }
            Command::SelfRefreshExit => asleep += since.take().map_or(0, |since| c.clock - since),
            _ => continue,
        }
        judge(&refreshes, index, since.unwrap_or(c.clock) - asleep);
    }
    judge(&refreshes, trace.len().saturating_sub(1), since.unwrap_or(end) - asleep);
}
