//! The trace driver: requests in file order into one or more channels, under the injection rules of the reference data.
//!
//! Tick t: the memory system runs clock t; then requests are offered in order while fewer than `max_injected_per_tick`
//! have entered, the next one's time has come and its channel has room; the first refusal ends the tick. A run ends at
//! the tick of its last completion.

use std::fmt::Write;

use crate::command::Command;
use crate::controller::Channel;
use crate::counters::Counters;
use crate::device::{Issued, NO_ROW};
use crate::error::Error;
use crate::mapping::Mapping;
use crate::policy::{Policy, Scheduler};
use crate::standard::Standard;
use crate::trace::{Request, check_requests};

/// How to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct DriveOptions {
    /// Step every clock instead of only the clocks that matter (same result, slower).
    pub tick: bool,
    /// Keep the commands issued.
    pub commands: bool,
}

/// Latencies in ticks from insertion to data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    /// Requests counted.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// Shortest.
    pub min: u64,
    /// Longest.
    pub max: u64,
    /// `histogram[i]` counts latencies in `2^i..2^(i+1)`.
    pub histogram: Vec<u64>,
}

impl Latency {
    fn add(&mut self, ticks: u64) {
        self.min = if self.count == 0 { ticks } else { self.min.min(ticks) };
        self.max = self.max.max(ticks);
        self.count += 1;
        self.sum += ticks;
        let bucket = ticks.max(1).ilog2() as usize;
        if self.histogram.len() <= bucket {
            self.histogram.resize(bucket + 1, 0);
        }
        self.histogram[bucket] += 1;
    }

    /// Mean, 0 for no requests.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Requests run.
    pub requests: u64,
    /// Ticks from the first insertion to the last completion.
    pub total_cycles: u64,
    /// Tick of the last completion.
    pub end: u64,
    /// Read latencies.
    pub read_latency: Latency,
    /// Write latencies, to the acknowledgement.
    pub write_latency: Latency,
    /// Read latencies in request order, for runs of at most 16 requests.
    pub latencies: Vec<u64>,
    /// Sum over the channels, background clocks to the end of the run.
    pub counters: Counters,
    /// Clock steps taken, over all channels.
    pub steps: u64,
    /// Commands per channel, if asked for.
    pub commands: Vec<Vec<Issued>>,
}

impl Report {
    /// Simulated time.
    pub fn time_ns(&self, s: &Standard) -> f64 {
        self.total_cycles as f64 * 1e9 / s.clock()
    }

    /// Data moved per second of simulated time.
    pub fn bytes_per_second(&self, s: &Standard) -> f64 {
        if self.total_cycles == 0 {
            return 0.0;
        }
        self.requests as f64 * s.request_bytes as f64 / (self.total_cycles as f64 / s.clock())
    }

    /// Share of the data pins' peak over all channels.
    pub fn share_of_peak(&self, s: &Standard) -> f64 {
        self.bytes_per_second(s) / (s.peak_bytes_per_second() * s.channels as f64)
    }

    /// Share of what back-to-back column commands reach over all channels.
    pub fn share_of_column_peak(&self, s: &Standard) -> f64 {
        self.bytes_per_second(s) / (s.column_peak_bytes_per_second() * s.channels as f64)
    }
}

/// Runs a trace.
pub fn drive(
    trace: &[Request],
    s: &Standard,
    policy: &Policy,
    options: DriveOptions,
) -> Result<Report, Error> {
    check_requests(trace, s).map_err(|(i, message)| Error::Trace { line: i + 1, message })?;
    let mapping = match &policy.mapping {
        Some(fields) => Mapping::new(s, fields, &policy.mapping_xor)?,
        None => s.default_mapping()?,
    };
    let mut channels = (0..s.channels).map(|_| Channel::new(s, policy)).collect::<Result<Vec<_>, _>>()?;
    if options.commands {
        channels.iter_mut().for_each(|c| c.set_command_log(true));
    }
    let shift = s.request_bytes.trailing_zeros();
    let mut inserted = vec![0u64; trace.len()];
    let mut reported = vec![0u64; if trace.len() <= 16 { trace.len() } else { 0 }];
    let (mut read_latency, mut write_latency) = (Latency::default(), Latency::default());
    let (mut now, mut next, mut open, mut end, mut steps) = (0u64, 0usize, 0usize, 0u64, 0u64);
    let mut done = Vec::new();
    let place = |request: &Request| mapping.split(request.address >> shift);
    let step = |channels: &mut [Channel], now: u64, done: &mut Vec<_>| {
        let mut steps = 0;
        for c in channels.iter_mut().filter(|c| options.tick || c.wake() <= now) {
            c.step(now, done);
            steps += 1;
        }
        steps
    };
    let wake = |channels: &[Channel]| channels.iter().map(Channel::wake).fold(u64::MAX, u64::min);
    let mut head = trace.first().copied();
    let (mut channel, mut burst) = head.as_ref().map_or((0, 0), place);
    let mut stepped = false;
    while head.is_some() || open > 0 || now <= end && !trace.is_empty() {
        if !stepped {
            steps += step(&mut channels, now, &mut done);
        }
        stepped = false;
        for c in &done {
            let ticks = c.ready - inserted[c.tag as usize];
            end = end.max(c.ready);
            open -= 1;
            if c.write {
                write_latency.add(ticks);
            } else {
                read_latency.add(ticks);
            }
            if let Some(slot) = reported.get_mut(c.tag as usize) {
                *slot = ticks;
            }
        }
        done.clear();
        let mut refused = false;
        for _ in 0..s.max_injected_per_tick {
            let Some(r) = head.filter(|r| r.earliest <= now) else { break };
            let into = &mut channels[channel as usize];
            if !into.accepts(burst, r.write) {
                refused = true;
                break;
            }
            into.push(now, burst, r.write, next as u32);
            inserted[next] = now;
            next += 1;
            open += 1;
            head = trace.get(next).copied();
            (channel, burst) = head.as_ref().map_or((0, 0), place);
        }
        if options.tick {
            now += 1;
            continue;
        }
        match head {
            Some(r) if r.earliest > now => now = wake(&channels).min(r.earliest).max(now + 1),
            // Only the tick's limit stopped it, or it waits until a step makes room.
            Some(_) if !refused => now += 1,
            Some(r) => {
                stepped = true;
                if let [channel] = &mut channels[..] {
                    let took;
                    (now, took) = channel.run_until_room(now, r.write, &mut done);
                    steps += took;
                } else {
                    while done.is_empty() && !channels[channel as usize].can_accept(r.write) {
                        now = wake(&channels).max(now + 1);
                        steps += step(&mut channels, now, &mut done);
                    }
                }
            }
            None if open == 0 => now = wake(&channels).min(end + 1).max(now + 1),
            None => now = wake(&channels).max(now + 1),
        }
    }
    let mut counters = Counters::default();
    for c in &channels {
        counters.add(&c.counters_at(end + 1));
    }
    Ok(Report {
        requests: trace.len() as u64,
        total_cycles: end - inserted.first().copied().unwrap_or(0),
        end,
        read_latency,
        write_latency,
        latencies: reported,
        counters,
        steps,
        commands: channels.iter_mut().filter(|_| options.commands).map(Channel::take_command_log).collect(),
    })
}

/// The commands of every channel ([`Report::commands`]) as CSV in order of time, with the columns and names of the
/// reference data's traces: DRAMsim3's, which a last column `channel` follows if there is more than one, or Ramulator's.
pub fn commands_csv(s: &Standard, policy: &Policy, channels: &[Vec<Issued>]) -> String {
    let dramsim3 = policy.scheduler == Scheduler::Dramsim3;
    let several = channels.len() > 1;
    let levels = s.levels.iter().map(|l| l.name.as_str()).collect::<Vec<_>>().join(",");
    let mut out = if dramsim3 {
        let channel = if several { ",channel" } else { "" };
        format!("tick,cmd,{},row,column_in_bursts{channel}\n", levels.to_lowercase())
    } else {
        format!("tick,command,Channel,{levels},Row,Column\n")
    };
    let mut all: Vec<(usize, &Issued)> =
        channels.iter().enumerate().flat_map(|(i, c)| c.iter().map(move |c| (i, c))).collect();
    all.sort_by_key(|(_, c)| c.clock); // stable: commands of one clock stay in order of channel and of issue
    for (channel, c) in all {
        // Writing to a string cannot fail.
        let _ = write!(out, "{},{}", c.clock, name(c.command, s, dramsim3));
        if !dramsim3 {
            let _ = write!(out, ",{channel}");
        }
        for coordinate in coordinates(s, c) {
            let _ = write!(out, ",{coordinate}");
        }
        if dramsim3 && several {
            let _ = write!(out, ",{channel}");
        }
        out.push('\n');
    }
    out
}

fn name(command: Command, s: &Standard, dramsim3: bool) -> &'static str {
    match command {
        Command::Activate if dramsim3 => "activate",
        Command::Precharge if dramsim3 => "precharge",
        Command::Read if dramsim3 => "read",
        Command::Write if dramsim3 => "write",
        Command::RefreshAll if dramsim3 => "refresh",
        Command::Activate if s.act2_deadline.is_some() => "ACT1",
        k => k.name(),
    }
}

/// One number per level, then row and column; -1 for what the command does not address.
fn coordinates(s: &Standard, c: &Issued) -> Vec<i64> {
    let mut out = vec![-1; s.levels.len() + 2];
    if c.command.is_scope() {
        let mut rest = u32::from(c.bank);
        for level in (0..s.refresh_level).rev() {
            out[level] = i64::from(rest % s.levels[level].count);
            rest /= s.levels[level].count;
        }
    } else if !c.command.is_channel() {
        let signed = |n: u32| if n == NO_ROW { -1 } else { i64::from(n) };
        let place = s.bank_coordinates(u32::from(c.bank)).into_iter().map(i64::from);
        let last = [signed(c.row), signed(c.column)];
        out.iter_mut().zip(place.chain(last)).for_each(|(out, n)| *out = n);
    }
    out
}
