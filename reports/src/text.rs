//! What `lutsim run` prints: at most 100 columns, every number with its unit.

use lutsim_record::{DramBytesByClass, Ordered, PhaseTotals, Record, UnitCycles};

use crate::operators::{by_operator, intensity};
use crate::quantity::{bytes, count, digits, percent, share, si, size};
use crate::table::{Align, Table};

type Phase<'a> = (&'static str, &'a PhaseTotals);

/// The summary of a run.
pub fn summary(record: &Record) -> String {
    let phases: Vec<Phase<'_>> = record.phases().collect();
    let mut out = what_ran(record);
    out.push_str(&section("Result", &results(record, &phases)));
    for (name, phase) in &phases {
        out.push_str(&section(&format!("Operators of {name}, summed over layers"), &operators(record, name)));
        if !phase.units.is_empty() {
            out.push_str(&section(&format!("Where the cycles of {name} went"), &units(&phase.units)));
        }
    }
    out.push_str(&section("DRAM bytes by class", &classes(&phases)));
    out.push_str(&section("Energy by component, mid values", &energy(record, &phases)));
    if !record.energy_by_purpose_j.is_empty() {
        let text = per_token("spent on", &record.energy_by_purpose_j, &phases, |p| &p.energy_by_purpose_j);
        out.push_str(&section("Energy by what it is spent on, mid values", &text));
    }
    if let Some(text) = silicon(record) {
        out.push_str(&section("Area and price", &text));
    }
    out
}

/// Area by component, and what die and memory are paid for; nothing where it was not computed.
fn silicon(record: &Record) -> Option<String> {
    let (area, price) = (&record.area, &record.price);
    let [mids, lows, highs] = [
        area.area_by_component_mm2.as_ref()?,
        area.area_by_component_mm2_low.as_ref()?,
        area.area_by_component_mm2_high.as_ref()?,
    ];
    let whole = area.band()?;
    let mut table = Table::new(&[
        ("component", Align::Left),
        ("mm2", Align::Right),
        ("low to high", Align::Right),
        ("share", Align::Right),
    ]);
    let mut row = |name: &str, mid: f64, low: f64, high: f64| {
        let range = format!("{} to {}", digits(low), digits(high));
        table.row([name.to_owned(), digits(mid), range, percent(share(mid, whole.mid))]);
    };
    for (name, mid) in mids.iter().filter(|(_, mid)| **mid > 0.0) {
        row(name, *mid, *lows.get(name)?, *highs.get(name)?);
    }
    row("total", whole.mid, whole.low, whole.high);
    let mut out = table.render();
    if let (Some(usd), Some(parts)) = (price.band(), &price.cost_by_part_usd) {
        let parts: Vec<String> = parts.iter().map(|(part, usd)| format!("{part} {}", digits(*usd))).collect();
        out.push_str(&format!(
            "  price: {} USD ({} to {}): {}; without design, masks, package and test\n",
            digits(usd.mid),
            digits(usd.low),
            digits(usd.high),
            parts.join(", ")
        ));
    }
    Some(out)
}

/// Of each phase: tokens, time, speed, energy, traffic.
pub fn phases(record: &Record) -> String {
    results(record, &record.phases().collect::<Vec<_>>())
}

fn section(title: &str, body: &str) -> String {
    format!("\n{title}\n{body}")
}

fn what_ran(record: &Record) -> String {
    let (w, m) = (&record.workload, &record.machine);
    let group =
        if w.group == "row" { "one group per row".to_owned() } else { format!("groups of {}", w.group) };
    let mut work = format!("batch {}", w.batch);
    if w.context > 0 {
        work.push_str(&format!(", {} tokens already in the KV cache", count(w.context)));
    }
    if let Some(chunk) = w.prefill_chunk {
        work.push_str(&format!(", prompt of {} in chunks of {}", count(w.prompt), count(chunk)));
    }
    work.push_str(&format!(", {} decode steps", count(w.generate)));
    let model = match m.dram_model.as_str() {
        "ideal" => "IDEAL: latency and bandwidth only, no banks and no refresh",
        other => other,
    };
    let tables = w.tables.as_ref().map_or(String::new(), |kind| format!(" in tables of {kind} entries"));
    let rows = [
        (
            "weights",
            format!("{}, {group}: {} stored bits per weight", w.weights, digits(w.stored_bits_per_weight)),
        ),
        (
            "in DRAM",
            format!(
                "{} of weights for {} parameters",
                bytes(w.weight_bytes),
                si(w.parameters as f64, "").trim()
            ),
        ),
        ("formats", format!("activations {}{tables}, KV cache {}", w.activations, w.kv)),
        ("work", work),
        (
            "chip",
            format!(
                "LUT cores {} at {}, scratchpad {}",
                m.lut_cores,
                si(m.core_clock_hz as f64, "Hz"),
                size(m.scratchpad_bytes)
            ),
        ),
        (
            "memory",
            format!(
                "{}, {} channels, {} peak, {model}",
                m.dram_standard,
                m.dram_channels,
                si(m.dram_peak_bytes_per_second, "B/s")
            ),
        ),
        ("energy", format!("{}; chip, DRAM device and pins, the host SoC is outside", m.technology)),
    ];
    let mut out = format!("{} on {}\n", w.model, m.chip);
    for (name, text) in rows {
        out.push_str(&format!("  {name:<8}  {text}\n"));
    }
    out
}

fn results(record: &Record, phases: &[Phase<'_>]) -> String {
    let mut columns = vec![("", Align::Left)];
    columns.extend(phases.iter().map(|(name, _)| (*name, Align::Right)));
    let mut table = Table::new(&columns);
    let mut row = |name: &str, f: &dyn Fn(&PhaseTotals) -> String| {
        table.row(std::iter::once(name.to_owned()).chain(phases.iter().map(|(_, p)| f(p))));
    };
    let range = |low: f64, high: f64, unit: &str| format!("{} to {} {unit}", digits(low), digits(high));
    row("tokens", &|p| count(p.tokens));
    row("core cycles", &|p| count(p.cycles));
    row("time", &|p| si(p.seconds, "s"));
    row("speed", &|p| format!("{} tokens/s", digits(p.tokens_per_second)));
    row("energy", &|p| format!("{} J/token", digits(p.energy_per_token_j)));
    row("  low to high", &|p| range(p.energy_per_token_j_low, p.energy_per_token_j_high, "J/token"));
    row("average power", &|p| format!("{} W", digits(share(p.energy_j, p.seconds))));
    row("  low to high", &|p| {
        range(share(p.energy_j_low, p.seconds), share(p.energy_j_high, p.seconds), "W")
    });
    row("DRAM read", &|p| bytes(p.dram_read_bytes));
    row("DRAM written", &|p| bytes(p.dram_write_bytes));
    row("DRAM bandwidth", &|p| si(share((p.dram_read_bytes + p.dram_write_bytes) as f64, p.seconds), "B/s"));
    row("  of the peak", &|p| percent(p.dram_bandwidth_share));
    let others = |p: &PhaseTotals| p.events.dram_others_read_bytes + p.events.dram_others_write_bytes;
    if phases.iter().any(|(_, p)| others(p) > 0) {
        row("other masters", &|p| si(share(others(p) as f64, p.seconds), "B/s"));
    }
    let mut out = table.render();
    if let Some(prefill) = &record.phases.prefill {
        out.push_str(&format!("  time to first token: {}\n", si(prefill.time_to_first_token_seconds, "s")));
    }
    if let Some(decode) = &record.phases.decode
        && let Some(residual) = decode.interpolation_residual
    {
        out.push_str(&format!(
            "  INTERPOLATED: {} of {} decode steps simulated, residual of the fit {}\n",
            decode.simulated_steps,
            record.workload.generate,
            percent(residual)
        ));
    }
    out
}

fn operators(record: &Record, phase: &str) -> String {
    let mut table = Table::new(&[
        ("operator", Align::Left),
        ("layers", Align::Right),
        ("core cycles", Align::Right),
        ("share", Align::Right),
        ("DRAM moved", Align::Right),
        ("DRAM own", Align::Right),
        ("ops/byte", Align::Right),
        ("busiest", Align::Left),
    ]);
    for op in by_operator(record, phase) {
        table.row([
            op.name,
            op.layers.to_string(),
            count(op.cycles),
            percent(op.share),
            bytes(op.dram_bytes_transferred),
            bytes(op.dram_bytes_owned),
            intensity(op.macs, op.dram_bytes_transferred).map_or_else(|| "-".to_owned(), digits),
            op.busiest,
        ]);
    }
    table.render()
}

/// Channels as one line, all others as they are.
fn merged(units: &[UnitCycles]) -> Vec<UnitCycles> {
    let (channels, mut out): (Vec<_>, Vec<_>) =
        units.iter().cloned().partition(|u| u.name.starts_with("dram."));
    if let Some(first) = channels.first() {
        let mut all = UnitCycles { name: format!("dram x{}", channels.len()), ..first.clone() };
        for channel in &channels[1..] {
            all.busy_cycles += channel.busy_cycles;
            for (cause, cycles) in channel.stall_cycles.iter() {
                all.stall_cycles.add(cause, *cycles);
            }
        }
        out.push(all);
    }
    out
}

fn units(units: &[UnitCycles]) -> String {
    let mut table =
        Table::new(&[("unit", Align::Left), ("busy", Align::Right), ("and otherwise", Align::Left)]);
    for unit in merged(units) {
        let total = unit.total() as f64;
        let mut causes: Vec<(&str, u64)> =
            unit.stall_cycles.iter().map(|(cause, n)| (cause, *n)).filter(|(_, n)| *n > 0).collect();
        causes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let part = |n: u64| percent(share(n as f64, total));
        let (shown, rest) = causes.split_at(causes.len().min(4));
        let mut text: Vec<String> = shown.iter().map(|(cause, n)| format!("{cause} {}", part(*n))).collect();
        if !rest.is_empty() {
            text.push(format!("{} more {}", rest.len(), part(rest.iter().map(|(_, n)| n).sum())));
        }
        table.row([unit.name.clone(), part(unit.busy_cycles), text.join(", ")]);
    }
    table.render()
}

fn classes(phases: &[Phase<'_>]) -> String {
    let mut columns = vec![("class", Align::Left)];
    for (name, _) in phases {
        columns.extend([(*name, Align::Right), ("share", Align::Right)]);
    }
    let mut table = Table::new(&columns);
    let mut row = |name: &str, of: &dyn Fn(&DramBytesByClass) -> u64| {
        let cells = phases.iter().flat_map(|(_, p)| {
            let n = of(&p.dram_bytes_by_class);
            [bytes(n), percent(share(n as f64, p.dram_bytes_by_class.total() as f64))]
        });
        table.row(std::iter::once(name.to_owned()).chain(cells));
    };
    for (i, (name, _)) in DramBytesByClass::CLASSES.iter().enumerate() {
        let of = |c: &DramBytesByClass| c.iter().nth(i).map_or(0, |(_, n)| n);
        if phases.iter().any(|(_, p)| of(&p.dram_bytes_by_class) > 0) {
            row(name, &of);
        }
    }
    row("total", &DramBytesByClass::total);
    table.render()
}

/// Joules per token of each part and phase; parts that the chip does not have took nothing.
fn per_token(
    name: &str,
    parts: &Ordered<f64>,
    phases: &[Phase<'_>],
    of: impl Fn(&PhaseTotals) -> &Ordered<f64>,
) -> String {
    let mut columns = vec![(name, Align::Left)];
    for (name, _) in phases {
        columns.extend([(*name, Align::Right), ("share", Align::Right)]);
    }
    let mut table = Table::new(&columns);
    for (part, _) in parts.iter().filter(|(_, joules)| **joules > 0.0) {
        let cells = phases.iter().flat_map(|(_, p)| {
            let joules = of(p).get(part).copied().unwrap_or(0.0);
            [format!("{}/token", si(share(joules, p.tokens as f64), "J")), percent(share(joules, p.energy_j))]
        });
        table.row(std::iter::once(part.to_owned()).chain(cells));
    }
    let total =
        phases.iter().flat_map(|(_, p)| [format!("{}/token", si(p.energy_per_token_j, "J")), percent(1.0)]);
    table.row(std::iter::once("total".to_owned()).chain(total));
    table.render()
}

fn energy(record: &Record, phases: &[Phase<'_>]) -> String {
    let mut out = per_token("component", &record.energy_by_component_j, phases, |p| &p.energy_by_component_j);
    let total: f64 = record.energy_by_boundary_j.iter().map(|(_, joules)| joules).sum();
    let sides: Vec<String> = record
        .energy_by_boundary_j
        .iter()
        .map(|(side, joules)| format!("{side} {} ({})", si(*joules, "J"), percent(share(*joules, total))))
        .collect();
    out.push_str(&format!("  whole run: {}\n", sides.join(", ")));
    out
}
