//! LLM-Viewer's numbers cell for cell, the slide string for string, and that every difference has its reason.

use lutsim_baselines::difference::{between, bytes_differ};
use lutsim_baselines::{
    Activation, Analysis, Count, Experts, Hardware, HardwareError, Limits, Setting, Shape, Stored, Window,
    csv, llm_viewer, physical, slide,
};

/// Full precision, one case (the tool's own run), with comments and CRLF.
const LLAMA: &str = include_str!("../../../tests/data/roofline/llm_viewer_llama2_7b_a6000.csv");
/// The tool's own runs of 21 cases; `make.py` beside it made them.
const CASES: &str = include_str!("../../../tests/data/roofline/llm_viewer.csv");
const SLIDE: &str = include_str!("../../../tests/data/roofline/amlc2024_table.csv");

fn shape(dims: [u32; 6]) -> Shape {
    let [hidden, intermediate, heads, kv_heads, layers, vocab] = dims;
    Shape {
        name: "model".into(),
        layers,
        hidden,
        intermediate,
        heads,
        kv_heads,
        head_dim: hidden / heads,
        vocab,
        gated: true,
        activation: Activation::Silu,
        centred_norms: false,
        sub_norms: false,
        post_norms: false,
        score_cap: false,
        logit_cap: false,
        embedding_norm: false,
        rotated: hidden / heads,
        learned_positions: false,
        tied: false,
        biases: [false; 3],
        experts: None,
        window: None,
    }
}

fn llama() -> Shape {
    shape([4096, 11008, 32, 32, 32, 32000])
}

fn setting(batch: u32, length: u32, [w, a, kv]: [f64; 3], flash: bool) -> Setting {
    let stored = Stored::uniform(w, kv);
    Setting { batch, length, weight_bits: w, activation_bits: a, kv_bits: kv, stored, flash }
}

fn a6000() -> Hardware {
    Hardware::builtin("a6000").unwrap()
}

fn on_a6000(shape: &Shape, setting: &Setting) -> Analysis {
    let bits = [setting.weight_bits, setting.activation_bits, setting.kv_bits];
    llm_viewer::analyze(shape, setting, &a6000().tool_limits(bits).unwrap())
}

#[test]
fn the_published_case_is_met_in_every_cell() {
    let found = csv::text(&on_a6000(&llama(), &setting(1, 2048, [16.0; 3], false)));
    let expected: Vec<&str> = LLAMA.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    assert_eq!(expected.len(), 35);
}

#[test]
fn the_slide_is_met_in_every_string() {
    let found = slide::text(&on_a6000(&llama(), &setting(1, 2048, [16.0; 3], false)));
    assert_eq!(found.lines().collect::<Vec<_>>(), SLIDE.lines().collect::<Vec<_>>());
}

/// Grouped heads, batches, bits, flash attention, other machines, and dimensions that divide nothing.
#[test]
fn the_tools_own_runs_are_met_in_every_cell() {
    let lines: Vec<&str> = CASES.lines().filter(|l| !l.starts_with('#')).collect();
    let cases = lines.split(|l| l.starts_with("case,")).skip(1);
    let heads = lines.iter().filter(|l| l.starts_with("case,"));
    let (mut count, mut cells) = (0, 0);
    for (head, expected) in heads.zip(cases) {
        let f: Vec<&str> = head.split(',').collect();
        let whole = |i: usize| f[i].parse::<u32>().unwrap();
        let real = |i: usize| f[i].parse::<f64>().unwrap();
        let bits = [real(15), real(16), real(17)];
        let peak = if bits.iter().all(|b| *b <= 8.0) { real(11) } else { real(10) };
        let limits = Limits { bandwidth: real(9), peak, onchip: real(12) };
        let model = shape([2, 3, 4, 5, 6, 7].map(whole));
        let found = llm_viewer::analyze(&model, &setting(whole(13), whole(14), bits, f[18] == "1"), &limits);
        let memory = |l: &&&str| l.contains(",MEMORY,");
        let rows: Vec<&str> = expected.iter().filter(|l| !memory(l)).copied().collect();
        assert_eq!(csv::rows(&found), rows, "{head}");
        let expected: Vec<&str> = expected.iter().filter(memory).copied().collect();
        let found = found.stages.iter().map(|s| {
            let m = s.memory;
            let numbers = [m.whole, m.weight, m.kv, m.activations].map(csv::python);
            format!("{},MEMORY,{}", s.kind.name(), numbers.join(","))
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{head}");
        count += 1;
        cells += rows.iter().map(|r| r.split(',').count()).sum::<usize>();
    }
    assert_eq!(count, 21);
    assert!(cells > 8000, "{cells}");
}

/// Two tokens of a model small enough to count by hand.
#[test]
fn operators_are_what_they_are() {
    let mut tiny = shape([8, 12, 4, 2, 3, 10]);
    tiny.biases = [true, false, false];
    let mut how = setting(1, 3, [4.0, 16.0, 8.0], false);
    how.stored = Stored { head: 6.0, ..Stored::uniform(5.0, 10.0) };
    let found = physical::analyze(&tiny, &how, &a6000());
    let [prefill, decode] = &found.stages;
    let get = |name: &str| prefill.operators.iter().find(|o| o.name == name).unwrap();
    let ops = |name: &str| get(name).ops;
    // 3 tokens x 8 x 8 x 2, and 3 x 8 biases
    assert_eq!(ops("q_proj"), Count::Whole(3 * 64 * 2 + 24));
    assert_eq!(get("q_proj").bytes.weight, 64.0 * 5.0 / 8.0 + 16.0);
    // 6 pairs of each of 4 heads of width 2
    assert_eq!(ops("qk_matmul"), Count::Whole(6 * 4 * 2 * 2));
    assert_eq!(get("qk_matmul").bytes.act_write, 24.0 * 2.0);
    // 3 rows of 2 heads of 2 elements of 10 bits
    assert_eq!(get("qk_matmul").bytes.kv_read, 12.0 * 10.0 / 8.0);
    assert_eq!(get("k_proj").bytes.kv_write, 0.0);
    assert_eq!(get("rope").bytes.kv_write, 12.0 * 10.0 / 8.0);
    assert_eq!(ops("rope"), Count::Whole(3 * 3 * 6 * 2));
    assert_eq!(ops("mlp_act"), Count::Whole(3 * 12 * 5));
    assert_eq!(ops("attn_norm"), Count::Whole(3 * 8 * 4));
    assert_eq!(get("attn_add").bytes.act_read, 2.0 * 24.0 * 2.0);
    // Only the last token is asked about.
    assert_eq!(ops("lm_head"), Count::Whole(160));
    assert_eq!(get("lm_head").bytes.weight, 60.0);
    assert_eq!(ops("embedding"), Count::Whole(0));
    assert_eq!(decode.operators.iter().find(|o| o.name == "softmax").unwrap().ops, Count::Whole(5 * 4 * 3));
    let layers: f64 = prefill.operators.iter().map(|o| o.seconds * f64::from(o.times)).sum();
    assert!((prefill.seconds - layers).abs() < 1e-12 * layers);
    // 3 tokens x 2 x 4 elements x 3 layers of 10 bits
    assert_eq!(prefill.memory.kv, 72.0 * 10.0 / 8.0);
}

/// What two tokens of a prompt, then three sequences of decode, read and multiply of a model with experts, counted by hand.
#[test]
fn experts_are_multiplied_per_token_and_read_once() {
    let mut tiny = shape([8, 12, 4, 2, 3, 10]);
    tiny.experts = Some(Experts { count: 4, used: 2 });
    let how = setting(3, 1, [8.0, 16.0, 16.0], false);
    let found = physical::analyze(&tiny, &how, &a6000());
    let get = |name: &str| found.stages[1].operators.iter().find(|o| o.name == name).unwrap();
    // Of four experts each token passes over a half: three pass over one with probability 1/8.
    let read = 4.0 * (1.0 - 0.125);
    assert_eq!(get("gate_proj").bytes.weight, 96.0 * read);
    assert_eq!(get("gate_proj").ops, Count::Whole(2 * 96 * 2 * 3));
    assert_eq!(get("gate_proj").bytes.act_read, 3.0 * 8.0 * 2.0);
    assert_eq!(get("gate_proj").bytes.act_write, 3.0 * 2.0 * 12.0 * 2.0);
    assert_eq!(get("down_proj").bytes.act_read, 3.0 * 2.0 * 12.0 * 2.0);
    assert_eq!(get("mlp_act").ops, Count::Whole(3 * 2 * 12 * 5));
    assert_eq!(get("router").ops, Count::Whole(2 * 3 * 8 * 4));
    assert_eq!(get("router").bytes.weight, 32.0);
    assert_eq!(get("router_top").ops, Count::Whole(3 * 4 * 7));
    assert_eq!(get("expert_sum").ops, Count::Whole(2 * 3 * 2 * 8));
    // All experts lie in DRAM, whatever is read: attention 64 + 32 + 32 + 64, router 32, MLPs, norms, head and embedding.
    let layer = 192.0 + 32.0 + 4.0 * 3.0 * 96.0 + 2.0 * 8.0 * 2.0;
    assert_eq!(found.stages[1].memory.weight, 3.0 * layer + 16.0 + 80.0 + 160.0);
    // One token takes its own experts, many take all.
    let experts = Experts { count: 8, used: 2 };
    assert_eq!(experts.read_by(1), 2.0);
    assert!((experts.read_by(2) - 3.5).abs() < 1e-12);
    assert!((experts.read_by(1000) - 8.0).abs() < 1e-12);
    // A model of one expert is a model without experts, but for its router.
    let one = |experts| {
        let found = physical::analyze(&Shape { experts, ..llama() }, &how, &a6000());
        found.stages[1].operators.iter().filter(|o| o.name.ends_with("_proj")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(one(Some(Experts { count: 1, used: 1 })), one(None));
}

/// A window is counted token by token; one that is no shorter than the sequence is none.
#[test]
fn windows_are_what_their_tokens_see() {
    let with = |tokens: u32, layers: u32, length: u32, flash: bool, onchip: f64| {
        let mut tiny = shape([8, 12, 4, 2, 3, 10]);
        tiny.window = (tokens > 0).then_some(Window { tokens, layers });
        let mut machine = a6000();
        machine.replace(None, None, Some(onchip));
        physical::analyze(&tiny, &setting(2, length, [16.0; 3], flash), &machine)
    };
    let get = |found: &Analysis, stage: usize, name: &str| {
        found.stages[stage].operators.iter().find(|o| o.name == name).cloned()
    };
    assert_eq!(with(9, 2, 9, false, 1e6), with(0, 0, 9, false, 1e6));
    for length in [5_u32, 6, 11, 40] {
        let found = with(4, 2, length, false, 1e6);
        let seen: u32 = (1..=length).map(|i| i.min(4)).sum();
        let short = get(&found, 0, "qk_matmul_window").unwrap();
        assert_eq!((short.times, get(&found, 0, "qk_matmul").unwrap().times), (2, 1));
        // Two sequences, four heads, two wide.
        assert_eq!(short.ops, Count::Whole(u128::from(seen) * 2 * 4 * 2 * 2));
        assert_eq!(short.bytes.kv_read, f64::from(length) * 2.0 * 2.0 * 2.0 * 2.0);
        let short = get(&found, 1, "qk_matmul_window").unwrap();
        assert_eq!((short.ops, short.bytes.kv_read), (Count::Whole(4 * 2 * 4 * 2 * 2), 64.0));
        assert_eq!(get(&found, 1, "softmax_window").unwrap().ops, Count::Whole(5 * 4 * 2 * 4));
        assert_eq!(found.stages[1].memory.kv, f64::from(length + 2 * 4) * 2.0 * 2.0 * 2.0 * 2.0 * 2.0);
        let all = with(4, 3, length, false, 1e6);
        assert!(get(&all, 0, "qk_matmul").is_none() && get(&all, 1, "softmax_window").unwrap().times == 3);
        // Blocks of so many queries: keys from the first that one of them sees to the last.
        for queries in [1_u32, 2, 3, 4, 5, 64] {
            let onchip = f64::from(queries) * 4.0 * 2.0 * 2.0 * 2.0;
            let rows: u32 = (0..length)
                .step_by(queries as usize)
                .map(|b| (b + queries).min(length) - (b + 1).saturating_sub(4))
                .sum();
            let found = get(&with(4, 3, length, true, onchip), 0, "fused_attention_window").unwrap();
            assert_eq!(
                found.bytes.kv_read,
                f64::from(rows) * 2.0 * 2.0 * 2.0 * 2.0 * 2.0,
                "{length} {queries}"
            );
        }
    }
}

#[test]
fn flash_attention_reads_the_cache_once_if_the_queries_fit_and_never_less() {
    let model = shape([4096, 14336, 32, 8, 32, 128256]);
    let how = setting(1, 8192, [16.0; 3], true);
    let read = |onchip: f64| {
        let mut machine = a6000();
        machine.replace(None, None, Some(onchip));
        let found = physical::analyze(&model, &how, &machine);
        found.stages[0].operators.iter().find(|o| o.name == "fused_attention").unwrap().bytes.kv_read
    };
    let once = 2.0 * 8192.0 * 8.0 * 128.0 * 2.0;
    assert_eq!(read(1e9), once);
    // Blocks of 2048 tokens: 2048 + 4096 + 6144 + 8192 rows
    assert_eq!(read(2048.0 * 4.0 * 128.0 * 2.0 * 4.0), once * 2.5);
    let mut last = f64::MAX;
    for onchip in [1.0, 1e3, 1e5, 1e6, 1e7, 1e8, 1e9] {
        assert!(read(onchip) <= last && read(onchip) >= once);
        last = read(onchip);
    }
}

/// Whatever model and setting: a line that differs says why, and one that says why differs.
#[test]
fn every_difference_has_its_reason() {
    let mut shapes = vec![llama(), shape([4096, 14336, 32, 8, 32, 128256])];
    let mut bitnet = shape([2560, 6912, 20, 5, 30, 128256]);
    (bitnet.sub_norms, bitnet.activation, bitnet.tied) = (true, Activation::SquaredRelu, true);
    let mut opt = shape([4096, 16384, 32, 32, 32, 50272]);
    (opt.gated, opt.activation, opt.biases, opt.centred_norms) = (false, Activation::Relu, [true; 3], true);
    (opt.rotated, opt.learned_positions) = (0, true);
    let mut wide = shape([2048, 2048, 8, 1, 18, 256000]);
    (wide.head_dim, wide.rotated, wide.activation) = (320, 320, Activation::Gelu);
    (wide.post_norms, wide.score_cap, wide.logit_cap) = (true, true, true);
    let mut mixtral = shape([4096, 14336, 32, 8, 32, 32000]);
    mixtral.experts = Some(Experts { count: 8, used: 2 });
    let mut mistral = shape([4096, 14336, 32, 8, 32, 32000]);
    mistral.window = Some(Window { tokens: 64, layers: 32 });
    let mut gemma2 = wide.clone();
    gemma2.window = Some(Window { tokens: 1024, layers: 9 });
    shapes.extend([bitnet, opt, wide, mixtral, mistral, gemma2]);
    let mut seen = 0;
    for model in &shapes {
        for (batch, length, flash, bits, scales) in [
            (1, 2048, false, [16.0; 3], 0.0),
            (1, 1, false, [16.0; 3], 0.0),
            (4, 77, true, [4.0, 16.0, 8.0], 0.125),
            (7, 4096, false, [2.0, 8.0, 8.0], 0.25),
            (1, 8000, true, [8.0, 8.0, 8.0], 0.0),
        ] {
            let mut how = setting(batch, length, bits, flash);
            how.stored = Stored::uniform(bits[0] + scales, bits[2] + scales);
            let machine = a6000();
            let tool = on_a6000(model, &how);
            let ours = physical::analyze(model, &how, &machine);
            for line in between(model, &how, [machine.bandwidth.value; 2], &tool, &ours) {
                seen += 1;
                let text: Vec<&str> = line.reasons.iter().map(|r| r.text.as_str()).collect();
                let (Some(t), Some(p)) = (&line.tool, &line.physical) else {
                    assert_eq!(line.reasons.len(), 1);
                    continue;
                };
                let place = format!("{} of {model:?} in {how:?}: {text:?}", line.name);
                let close = (t.ops.real() - p.ops.real()).abs() <= 1e-12 * p.ops.real();
                assert_eq!(!close, line.reasons.iter().any(|r| r.ops), "operations: {place}");
                let differ = bytes_differ(&t.bytes, &p.bytes);
                assert_eq!(differ, line.reasons.iter().any(|r| r.bytes), "bytes: {place}");
                let slower = (t.seconds - p.seconds).abs() > 1e-9 * p.seconds;
                assert!(!slower || !text.is_empty(), "{place}");
            }
        }
    }
    assert!(seen > 1500, "{seen}");
}

#[test]
fn machines_are_read_and_near_misses_named() {
    for name in Hardware::names() {
        let machine = Hardware::builtin(name).unwrap();
        assert!(!machine.name.is_empty() && !machine.peaks.is_empty(), "{name}");
    }
    assert_eq!(Hardware::builtin("nvidia_A6000").unwrap(), a6000());
    let unknown = |name: &str| Hardware::builtin(name).unwrap_err().to_string();
    assert_eq!(unknown("a600"), "there is no hardware `a600`; did you mean `a6000`?");
    assert_eq!(Hardware::builtin("intel_13900k").unwrap().name, "Intel Core i9-13900K");
    let error = Hardware::builtin("13900k").unwrap().tool_limits([8.0; 3]).unwrap_err();
    assert!(error.to_string().starts_with("Intel Core i9-13900K has no peak of int8, which"), "{error}");
    assert_eq!(unknown("abacus"), "there is no hardware `abacus`");
    let text = "name = \"x\"\nclass = \"gpu\"\nbandwidth = { value = 1e9, unit = \"GB/s\", basis = \"sourced\", source = \"y\" }\nonchip = { value = 1, unit = \"B\", basis = \"sourced\", source = \"y\" }\n[peaks]\nfp16 = { value = 1e12, unit = \"OP/s\", basis = \"sourced\", source = \"y\" }\n";
    let wrong = |old: &str, new: &str| {
        assert!(text.contains(old));
        Hardware::parse("x.toml", &text.replace(old, new)).unwrap_err().to_string()
    };
    assert_eq!(wrong("y", "y"), "x.toml: unit: `GB/s` is not `B/s`");
    let good = text.replace("GB/s", "B/s");
    Hardware::parse("x.toml", &good).unwrap();
    for (old, new, why) in [
        ("1e9", "-1", "value: -1 is not a positive number"),
        ("1e9", "nan", "value: NaN is not a positive number"),
        ("\"y\" }\n[", "\" \" }\n[", "source: a number needs one"),
        ("fp16 =", "int8 =", "peaks: one of fp16 or fp32 is needed"),
    ] {
        let error = Hardware::parse("x.toml", &good.replace(old, new)).unwrap_err();
        assert_eq!(error.to_string(), format!("x.toml: {why}"));
        assert!(matches!(error, HardwareError::File { span: Some(_), .. }));
    }
}

#[test]
fn the_tools_own_machines_are_its_own() {
    let heads = CASES.lines().filter_map(|l| l.strip_prefix("case,"));
    let mut seen = 0;
    for head in heads {
        let f: Vec<&str> = head.split(',').collect();
        let Ok(machine) = Hardware::builtin(f[7]) else { continue };
        let tool = machine.llm_viewer.unwrap();
        let expected = [f[8], f[9], f[11]].map(|x| x.parse::<f64>().unwrap());
        assert_eq!([tool.bandwidth, tool.fp16, tool.onchip], expected, "{}", f[7]);
        assert_eq!(tool.int8, f[10].parse().ok(), "{}", f[7]);
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn overrides_replace_what_both_accountings_look_at() {
    let mut machine = a6000();
    machine.replace(Some(1e12), Some(2e14), Some(3e6));
    for bits in [[16.0; 3], [4.0; 3]] {
        assert_eq!(machine.tool_limits(bits).unwrap(), Limits { bandwidth: 1e12, peak: 2e14, onchip: 3e6 });
        assert_eq!(machine.matrix_peak(bits[0]).1, 2e14);
    }
    assert_eq!(machine.vector_peak().1, 2e14);
}
