//! Configurations by name: a built-in standard with the policy it names, or one of the variants of it that the
//! references were run with, so that every one of their runs can be repeated by its name.

use crate::error::Error;
use crate::policy::{Policy, RefreshPolicy};
use crate::standard::Standard;

/// The standard called `name` and the policy it is meant to run under. A suffix varies it: `_noref` never refreshes,
/// `_mop` maps addresses as Ramulator's MOP4CLXOR does, `_frfcfs` is the plain scheduler, which issues the same commands.
///
/// # Errors
/// No built-in standard has this name, or the variant does not fit it.
pub fn configuration(name: &str) -> Result<(Standard, Policy), Error> {
    let variants = ["_noref", "_mop", "_frfcfs"];
    let variant = variants.into_iter().find(|v| name.ends_with(v));
    let base = variant.map_or(name, |v| &name[..name.len() - v.len()]);
    if !Standard::builtin_names().contains(&base) {
        return Err(Error::unknown("DRAM standard", name, Standard::builtin_names()));
    }
    let standard = Standard::builtin(base)?;
    let mut policy = Policy::by_name(&standard.policy)?;
    match variant {
        Some("_noref") => policy.refresh.policy = RefreshPolicy::Off,
        Some("_mop") => mop(&standard, &mut policy),
        _ => {}
    }
    Ok((standard, policy))
}

/// Two column bits, all levels, the other column bits; each level exclusive-ored with column bits, then the row.
fn mop(standard: &Standard, policy: &mut Policy) {
    let bits = |n: u32| n.trailing_zeros();
    let levels: Vec<_> = standard.levels.iter().filter(|l| l.count > 1).collect();
    let mut fields = vec!["Column:2".to_string()];
    fields.extend(levels.iter().map(|l| format!("{}:{}", l.name, bits(l.count))));
    fields.push(format!("Column:{}", bits(standard.bursts_per_row).saturating_sub(2)));
    fields.push("Row".into());
    let mut at = 0;
    for l in levels {
        policy.mapping_xor.push(format!("{}^Column:{at}", l.name));
        at += bits(l.count);
    }
    policy.mapping_xor.push(format!("Row^Column:{at}"));
    policy.mapping = Some(fields);
}
