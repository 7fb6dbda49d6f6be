//! How the engine fared: `engine.json` and the lines of `run -v`. None of it is part of a record.

use std::collections::BTreeMap;

use lutsim_sim::{LeapStats, PARTS};
use serde_json::json;

use crate::session::Finished;

/// CPU seconds of this process so far, and the most memory that it held, bytes; where the system tells (Linux).
fn process() -> (Option<f64>, Option<u64>) {
    // Fields 14 and 15 behind the command's closing bracket, in hundredths of a second (USER_HZ on Linux).
    let cpu = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        Some(ticks as f64 / 100.0)
    });
    let peak = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    (cpu, peak)
}

/// Milestones that were no hit, by the name of the operator whose words came next, most first.
fn by_operator(finished: &Finished, leap: &LeapStats) -> Vec<(String, u64)> {
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for (i, &misses) in leap.misses_by_operator.iter().enumerate().filter(|m| *m.1 > 0) {
        let name = finished.plan.decode.operators.get(i).map_or("?", |operator| operator.name);
        *names.entry(name).or_default() += misses;
    }
    let mut names: Vec<(String, u64)> = names.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
    names.sort_by_key(|(_, misses)| std::cmp::Reverse(*misses));
    names
}

/// The text of `engine.json`.
pub(crate) fn json(finished: &Finished, engine: &str, wall: f64) -> String {
    let (cpu, peak) = process();
    let leap = finished.leap.as_ref().map(|leap| {
        json!({
            "executed_cycles": leap.executed_cycles,
            "searched_cycles": leap.searched_cycles,
            "leapt_cycles": leap.leapt_cycles,
            "hits": leap.hits,
            "turns": leap.turns,
            "misses": {
                "new_state": leap.new_states,
                "other_words": leap.other_words,
                "other_refresh": leap.other_refresh,
            },
            "new_parts": PARTS.into_iter().zip(leap.new_parts).collect::<BTreeMap<_, _>>(),
            "misses_by_operator": by_operator(finished, leap)
                .into_iter()
                .map(|(name, misses)| (name, misses.into()))
                .collect::<serde_json::Map<String, serde_json::Value>>(),
            "audited": leap.audited,
            "evictions": leap.evictions,
            "states": leap.states,
            "bytes": leap.bytes,
        })
    });
    let text = json!({
        "engine": engine,
        "instants": finished.stats.instants,
        "evaluations": finished.stats.evaluations,
        "leap": leap,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "peak_memory_bytes": peak,
    });
    serde_json::to_string_pretty(&text).expect("string keys only") + "\n"
}

/// The same in words.
pub(crate) fn words(finished: &Finished, wall: f64) -> String {
    let (cpu, peak) = process();
    let mut text = format!(
        "{} component evaluations at {} instants, {wall:.2} s",
        finished.stats.evaluations, finished.stats.instants
    );
    if let Some(cpu) = cpu {
        text += &format!(", {cpu:.2} s of CPU time");
    }
    if let Some(peak) = peak {
        text += &format!(", {} MiB at most", peak >> 20);
    }
    let Some(leap) = &finished.leap else { return text };
    let all = (leap.executed_cycles + leap.leapt_cycles).max(1);
    text += &format!(
        "\nleap: executed {} core cycles of {all} ({:.2} %), leapt over the others in {} steps, \
         {} turns of loops as a whole; {} states in {} MiB, {} entries evicted",
        leap.executed_cycles,
        100.0 * leap.executed_cycles as f64 / all as f64,
        leap.hits,
        leap.turns,
        leap.states,
        leap.bytes >> 20,
        leap.evictions
    );
    if leap.searched_cycles > 0 {
        text += &format!(
            "\n  {} more were executed to choose the mapping, and are known since",
            leap.searched_cycles
        );
    }
    text += &format!(
        "\nmisses: {} in a state never met, {} with other words, addresses or rows to come, {} with the next refresh elsewhere",
        leap.new_states, leap.other_words, leap.other_refresh
    );
    let mut parts: Vec<_> = PARTS.into_iter().zip(leap.new_parts).collect();
    parts.sort_by_key(|(_, misses)| std::cmp::Reverse(*misses));
    let share = |n: u64| 100 * n / leap.new_states.max(1);
    let parts: Vec<_> = parts.iter().map(|(name, n)| format!("{name} {} %", share(*n))).collect();
    text += &format!("\n  new about new states: {}", parts.join(", "));
    let operators = by_operator(finished, leap);
    let operators: Vec<_> = operators.iter().take(6).map(|(name, n)| format!("{name} {n}")).collect();
    text += &format!("\n  most before: {}", operators.join(", "));
    text
}
