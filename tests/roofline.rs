//! `lutsim roofline` as users meet it.

use std::path::Path;

use crate::cli_cases::lutsim;

const MODEL: [&str; 7] = ["roofline", "--hardware", "a6000", "--model", "llama-2-7b", "--seq", "2048"];

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/roofline").join(name);
    std::fs::read_to_string(path).unwrap().replace('\r', "")
}

fn run(folder: &Path, more: &[&str]) -> String {
    let (code, out, err) = lutsim(folder, &[&MODEL, more].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    out
}

#[test]
fn the_slide_comes_string_for_string() {
    assert_eq!(run(Path::new("."), &["--style", "slide"]), data("amlc2024_table.csv"));
}

/// Every cell of the tool's own run; files are kept unless they may be written over.
#[test]
fn the_csv_is_the_tools_and_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("a.csv");
    let args = ["--accounting", "llm-viewer", "--csv", "a.csv", "--svg", "a.svg"];
    run(folder.path(), &args);
    let expected = data("llm_viewer_llama2_7b_a6000.csv");
    let expected: Vec<&str> = expected.lines().filter(|l| !l.starts_with('#')).collect();
    let found = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    let svg = std::fs::read_to_string(folder.path().join("a.svg")).unwrap();
    for text in
        ["llama-2-7b on NVIDIA RTX A6000", "DRAM 768 GB/s", "155 TOPS", "ridge 202", "gate_proj", "18.6 ms"]
    {
        assert!(svg.contains(text), "{text}");
    }
    std::fs::write(&csv, "mine").unwrap();
    let (code, _, _) = lutsim(folder.path(), &[&MODEL[..], &args].concat());
    assert_eq!((code, std::fs::read_to_string(&csv).unwrap().as_str()), (2, "mine"));
    run(folder.path(), &[&args[..], &["--force"]].concat());
    assert_eq!(std::fs::read_to_string(&csv).unwrap(), found);
}

#[test]
fn differences_are_printed_with_their_reasons() {
    let text = run(Path::new("."), &[]);
    let (_, difference) = text.split_once("Where LLM-Viewer's accounting differs").unwrap();
    for why in [
        "causal: a token sees those before it",
        "both operands are read, not one",
        "the MLP is 11008 wide, not 4096",
        "two operations per weight and sequence, not one",
        "prefill of the whole model: 227 ms by LLM-Viewer",
    ] {
        assert!(difference.contains(why), "{why}");
    }
    let json: serde_json::Value = serde_json::from_str(&run(Path::new("."), &["--json"])).unwrap();
    assert_eq!(json["accounting"], "true");
    let list = json["differences"].as_array().unwrap();
    assert!(list.iter().all(|d| !d["why"].as_array().unwrap().is_empty()) && list.len() > 15);
}

/// Names, files of dimensions and files with weights; the types are the file's.
#[test]
fn models_come_from_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for (model, words) in [
        ("architectures/llama-q4_k_m.gguf", "weights q4_k (the file's)"),
        ("architectures/llama-f16.gguf", "weights 16-bit floats (the file's)"),
        ("checkpoints/bf16", "weights 16-bit floats (the file's)"),
        ("checkpoints/bf16/config.json", "weights 16 bits"),
        ("../../configs/models/llama-3-8b.toml", "weights 16 bits"),
    ] {
        let path = root.join(model).display().to_string();
        let args = ["roofline", "--hardware", "nvidia_A6000", "--model", &path, "--seq", "16"];
        let (code, out, err) = lutsim(Path::new("."), &args);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains(words), "{model}: {out}");
    }
}

/// Experts and windows: by name, from a file, in both accountings.
#[test]
fn experts_and_windows_are_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let gemma = root.join("tests/data/models/tiny-gemma2.toml").display().to_string();
    let json = |args: &[&str]| -> serde_json::Value {
        let args = [&["roofline", "--hardware", "a6000", "--json"], args].concat();
        let (code, out, err) = lutsim(Path::new("."), &args);
        assert_eq!((code, err.as_str()), (0, ""));
        serde_json::from_str(&out).unwrap()
    };
    let weights = |json: &serde_json::Value| {
        let decode = json["stages"][1]["operators"].as_array().unwrap().iter();
        decode.map(|o| o["weight_bytes"].as_f64().unwrap() * o["times"].as_f64().unwrap()).sum::<f64>()
    };
    let mixtral = ["--model", "mixtral-8x7b", "--seq", "512"];
    let one = json(&mixtral);
    // 12.88 billion of 46.70 billion weights meet a token; the embedding's other rows do not.
    assert!((weights(&one) / 2.0 / 12.75e9 - 1.0).abs() < 0.01, "{}", weights(&one) / 2.0);
    assert!((one["stages"][1]["memory_weight_bytes"].as_f64().unwrap() / 2.0 / 46.703e9 - 1.0).abs() < 1e-4);
    assert_eq!((&one["experts"]["read_in_decode"], &one["experts"]["used"]), (&2.0.into(), &2.into()));
    let four = json(&[&mixtral[..], &["--batch", "4"]].concat());
    let read = four["experts"]["read_in_decode"].as_f64().unwrap();
    assert!((read - 8.0 * (1.0 - 0.75_f64.powi(4))).abs() < 1e-12);
    let tool = json(&[&mixtral[..], &["--accounting", "llm-viewer"]].concat());
    let names = |json: &serde_json::Value| {
        let list = json["stages"][1]["operators"].as_array().unwrap().iter();
        list.map(|o| o["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(!names(&tool).contains(&"router".to_owned()) && names(&one).contains(&"router".to_owned()));
    let why = one["differences"].to_string();
    assert!(
        why.contains("2 of 8 experts multiply each token, 2 of them are read; LLM-Viewer has one MLP"),
        "{why}"
    );
    let gemma = json(&["--model", &gemma, "--seq", "32"]);
    assert_eq!(gemma["window"], serde_json::json!({ "tokens": 6, "layers": 2 }));
    let times = |name: &str| {
        let list = gemma["stages"][0]["operators"].as_array().unwrap();
        list.iter().find(|o| o["name"] == name).unwrap()["times"].clone()
    };
    assert_eq!((times("qk_matmul"), times("qk_matmul_window")), (1.into(), 2.into()));
}

/// Every processor that people run low-bit models on has a roof, and nobody publishes a rate above it.
#[test]
fn processors_have_roofs_above_what_is_published() {
    let machines = [
        (
            "x-elite",
            vec!["Snapdragon X Elite", "Surface Laptop 7 (Snapdragon X Elite, Better Performance mode)"],
        ),
        ("8gen3", vec![]),
        ("pi5", vec!["Raspberry Pi 5"]),
        ("orin-cpu", vec!["AGX Orin", "AGX Orin (MAXN)"]),
        ("m1", vec![]),
        ("m1-pro", vec![]),
        ("m1-max", vec![]),
        ("m1-ultra", vec![]),
        ("m2", vec![]),
        ("m2-pro", vec![]),
        ("m2-max", vec![]),
        ("m2-ultra", vec!["M2-Ultra", "Apple M2 Ultra"]),
        ("i7-13700h", vec![]),
        ("i7-13800h", vec!["Intel i7-13800H"]),
        ("i5-1035g7", vec![]),
    ];
    let mut rates = 0;
    for (machine, devices) in machines {
        let args =
            ["roofline", "--hardware", machine, "--model", "llama-2-7b", "--weight-bits", "2", "--json"];
        let (code, out, err) = lutsim(Path::new("."), &[&args[..], &["--seq", "1"]].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{machine}");
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        let most = 1.0 / json["stages"][1]["seconds"].as_f64().unwrap();
        let rows = lutsim_baselines::published::rows();
        let of = |row: &&lutsim_baselines::published::Row| {
            let cpu = ["T-MAC", "T-MAC (CPU)", "llama.cpp", "llama.cpp Q2_K", "bitnet.cpp"];
            devices.contains(&row.device.as_str())
                && cpu.contains(&row.system.as_str())
                && row.model.starts_with("Llama-2-7B")
                && row.weight_bits == "2"
                && row.unit.starts_with("tokens/s")
                && row.metric == "decode_throughput"
        };
        for row in rows.iter().filter(of) {
            let rate: f64 = row.value.parse().unwrap();
            assert!(rate < most, "{machine}: {rate} of at most {most}, {row:?}");
            rates += 1;
        }
    }
    assert!(rates > 40, "{rates}");
}

#[test]
fn overrides_replace_the_machines_numbers() {
    let args = ["--bandwidth", "1536e9", "--peak", "309.677e12", "--accounting", "llm-viewer", "--json"];
    let json: serde_json::Value = serde_json::from_str(&run(Path::new("."), &args)).unwrap();
    let seconds = |i: usize| json["stages"][i]["seconds"].as_f64().unwrap();
    assert_eq!([seconds(0), seconds(1)], [0.22687859086500456 / 2.0, 0.01863691533333334 / 2.0]);
}
