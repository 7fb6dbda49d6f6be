//! Near misses, as the rest of the command line finds them.

/// The nearest of `known` to `name`, if it is near.
pub fn near_miss<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let best =
        known.into_iter().map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k)).min()?;
    (best.0 <= (name.len() / 4).max(1)).then_some(best.1)
}
