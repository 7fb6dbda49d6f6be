use super::*;
use miette::Diagnostic;

/// What a user reads: the message, the underlined text, the help.
fn say(text: &str, sets: &[&str]) -> String {
    let sets: Vec<_> = sets.iter().map(|s| Override::set(s).unwrap()).collect();
    let error = ChipFile::parse("chip.toml", text, &sets).unwrap_err();
    let mut out = error.to_string();
    if let (Some(labels), Some(source)) = (error.labels(), error.source_code()) {
        for label in labels {
            let read = source.read_span(label.inner(), 0, 0).unwrap();
            if label.is_empty() {
                continue;
            }
            let under = String::from_utf8_lossy(read.data()).into_owned();
            out += &format!("\n  {}: {under}", read.name().unwrap_or(""));
        }
    }
    if let Some(help) = error.help() {
        out += &format!("\n  help: {help}");
    }
    out
}

fn tiny(from: &str, to: &str) -> String {
    let text = builtin_text("tiny").unwrap();
    assert!(text.contains(from), "tiny.toml has no `{from}`");
    text.replace(from, to)
}

#[test]
fn built_in_chips_are_valid_and_what_the_readme_says() {
    for (name, _) in BUILTIN {
        assert_eq!(load_builtin(name).unwrap().chip.name, *name);
    }
    let file = load_builtin("snapdragon_like.toml").unwrap();
    let chip = &file.chip;
    assert_eq!((chip.lut.cores, chip.lut.m, chip.lut.n, chip.lut.k), (16, 2, 64, 4));
    assert_eq!(chip.clock_hz, 1_000_000_000);
    assert_eq!(chip.dram.kind, DramKind::Standard("lpddr5x_9600".into()));
    assert_eq!((chip.dram.channels, chip.dram.bytes), (4, 12 << 30));
    assert_eq!(chip.refresh, Refresh { policy: RefreshPolicy::Aligned, interval_cycles: 4608 });
    assert_eq!(chip.runtime.doorbell_ns, 1000);
    assert_eq!(file.workload.weights, WeightKind::Int2);
    assert_eq!(file.workload.group, Group::Of(128));
}

#[test]
fn every_number_of_a_built_in_chip_has_a_comment() {
    for (name, text) in BUILTIN {
        let machine = text.split("[workload]").next().unwrap();
        let mut covered = false;
        for (i, line) in machine.lines().enumerate() {
            let line = line.trim();
            if line.starts_with('[') {
                covered = line.contains('#');
            }
            let bare = line.is_empty() || line.starts_with(['#', '[']);
            let words = ["name", "title", "node", "voltage", "includes"];
            let about = words.iter().any(|w| line.starts_with(&format!("{w} =")));
            assert!(
                bare || about || covered || line.contains(" # "),
                "{name}, line {}: {line}: no source",
                i + 1
            );
        }
    }
}

#[test]
fn keys_are_checked() {
    refused(
        &tiny("channels = 1", "chanels = 1"),
        &[],
        "\
unknown key `dram.chanels`
  chip.toml: chanels
  help: did you mean `dram.channels`?",
    );
    refused(
        &tiny("[vector]", "[vektor]"),
        &[],
        "\
unknown key `vektor`
  chip.toml: vektor
  help: did you mean `[vector]`?",
    );
    refused(
        &tiny("channels = 1", ""),
        &[],
        "\
missing key `dram.channels`
  chip.toml: dram
  help: Memory channels. For example: `dram.channels = 16`",
    );
    refused(
        &tiny("clock =", "# clock ="),
        &[],
        "\
missing key `clock`
  help: Core clock: sequencer, DMA, LUT cores, vector unit and scratchpad. For example: `clock = \"1.2 GHz\"`",
    );
}

#[test]
fn values_are_checked() {
    refused(
        &tiny("\"1.0 GHz\"", "\"1.0 ns\""),
        &[],
        "\
`clock` is a frequency, and `ns` is a unit of time
  chip.toml: \"1.0 ns\"
  help: units are Hz, kHz, MHz, GHz: write for example `\"1.2 GHz\"`",
    );
    refused(
        &tiny("\"1.0 GHz\"", "1.0"),
        &[],
        "\
`clock` is a frequency, and this number has no unit
  chip.toml: 1.0
  help: units are Hz, kHz, MHz, GHz: write for example `\"1.2 GHz\"`",
    );
    refused(
        &tiny("\"512 KiB\"", "0"),
        &[],
        "\
`scratchpad.bytes` must be at least 1, found 0
  chip.toml: 0",
    );
    refused(
        &tiny("cores = 2", "cores = -2"),
        &[],
        "\
`lut.cores` must be at least 1, found -2
  chip.toml: -2",
    );
    refused(
        &tiny("banks = 8", "banks = 12"),
        &[],
        "\
`scratchpad.banks` must be a power of two, found 12
  chip.toml: 12
  help: address bits select it; the nearest are 8 and 16",
    );
    refused(
        &tiny("\"aligned\"", "\"alined\""),
        &[],
        "\
`refresh.policy` must be one of `\"timer\"`, `\"aligned\"`, found `\"alined\"`
  chip.toml: \"alined\"
  help: did you mean `aligned`?",
    );
    refused(
        &tiny("cores = 2", "cores = \"two\""),
        &[],
        "\
`lut.cores` must be a whole number, found the text `\"two\"`
  chip.toml: \"two\"",
    );
    let said = say(&tiny("\"lpddr5x_9600\"", "\"lpddr5x_9000\""), &[]);
    assert!(said.contains("\n  help: did you mean `lpddr5x_9600`? (there are "), "{said}");
}

#[test]
fn rules_between_keys_are_checked() {
    refused(
        &tiny("4608", "5000"),
        &[],
        "\
`refresh.interval_cycles` must be at most 4687, the tREFI of lpddr5x_9600, found 5000
  chip.toml: 5000
  help: the memory would lose data; refreshing more often is legal",
    );
    refused(
        &tiny("4608", "300"),
        &[],
        "\
`refresh.interval_cycles` must be at least 672, twice the tRFC of lpddr5x_9600, found 300
  chip.toml: 300
  help: the memory would do little but refresh",
    );
    refused(
        &tiny("\"512 KiB\"", "1000"),
        &[],
        "\
`scratchpad.bytes` (1000) does not fill whole words of all banks
  chip.toml: 1000
  help: 8 banks of 32 bytes take multiples of 256 bytes",
    );
    refused(
        &tiny("\"1 GiB\"", "\"4 GiB\""),
        &[],
        "\
`dram.bytes` (4294967296) is more than 1 channels of lpddr5x_9600 hold
  chip.toml: \"4 GiB\"
  help: 3221225472 bytes per channel, 3221225472 in all",
    );
    refused(
        &tiny("[refresh]", "[dram.ideal]\nlatency = \"60 ns\"\n[refresh]"),
        &[],
        "\
`dram.standard` and `[dram.ideal]` exclude each other
  chip.toml: \"60 ns\"
  help: keep the standard for a real memory, the ideal one to isolate effects",
    );
}

#[test]
fn overrides_are_typed_and_shown() {
    let text = builtin_text("tiny").unwrap();
    let with = |sets: &[&str]| {
        let sets: Vec<_> = sets.iter().map(|s| Override::set(s).unwrap()).collect();
        ChipFile::parse("chip.toml", text, &sets).unwrap()
    };
    assert_eq!(with(&["lut.cores=4"]).chip.lut.cores, 4);
    assert_eq!(with(&["clock=1.2 GHz"]).chip.clock_hz, 1_200_000_000);
    assert_eq!(with(&["scratchpad.bytes=1MiB", "workload.group=row"]).workload.group, Group::Row);
    let ideal = ["dram.ideal.latency=60 ns", "dram.ideal.bandwidth=19.2 GB/s", "dram.ideal.burst_bytes=32"];
    assert!(matches!(with(&ideal).chip.dram.kind, DramKind::Ideal { latency_ns: 60, burst_bytes: 32, .. }));
    refused(
        text,
        &["lut.core=4"],
        "\
unknown key `lut.core`
  command line: lut.core
  help: did you mean `lut.cores`?",
    );
    refused(
        text,
        &["scratchpad.banks=7"],
        "\
`scratchpad.banks` must be a power of two, found 7
  command line: 7
  help: address bits select it; the nearest are 4 and 8",
    );
    refused(
        text,
        &["dram.ideal.latency=60 ns"],
        "\
missing key `dram.ideal.bandwidth`
  chip.toml: dram
  help: Of one channel. For example: `dram.ideal.bandwidth = \"8 GB/s\"`",
    );
    assert!(Override::set("lut.cores").is_err());
}

#[test]
fn the_echo_does_not_depend_on_spelling() {
    let a = load_builtin("tiny").unwrap().canonical().to_string();
    let b = ChipFile::parse("x", &tiny("\"512 KiB\"", "524288").replace("context = 0\n", ""), &[]).unwrap();
    assert_eq!(a, b.canonical().to_string());
    assert!(a.starts_with(r#"{"name":"tiny","about":{"title""#), "{a}");
    assert!(a.contains(r#""clock_hz":1000000000"#), "{a}");
}

#[test]
fn an_unknown_chip_lists_what_there_is() {
    let error = load_builtin("snapdragonlike").unwrap_err();
    assert_eq!(error.to_string(), "unknown chip `snapdragonlike`");
    assert_eq!(
        error.help().unwrap().to_string(),
        "did you mean `snapdragon_like`? (no file has this path; built in, there are a100_fp16, a100_int8, a100_lut_4x, a100_lut_8x, laptop_like, pi_like, server_like, snapdragon_like, tiny)"
    );
}

#[track_caller]
fn refused(text: &str, sets: &[&str], expected: &str) {
    assert_eq!(say(text, sets), expected);
}
