//! The process as users meet it: exit codes, streams, files.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli_cases::lutsim;

const PROGRAM: &str = "set r1, #64\nloop #4 {\n  add r1, r1, #64\n}\nhalt\n";

#[test]
fn assembly_survives_the_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.lasm"), PROGRAM).unwrap();
    let (code, stdout, stderr) = lutsim(folder.path(), &["asm", "a.lasm", "--chip", "tiny"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "a.lbin: 5 instructions\n"));
    let (code, stdout, _) = lutsim(folder.path(), &["disasm", "a.lbin", "--config", "tiny.toml"]);
    assert_eq!((code, stdout.as_str()), (0, PROGRAM));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing else is left: {names:?}");
}

#[test]
fn an_internal_fault_exits_70_with_the_command() {
    let (code, stdout, stderr) = lutsim(Path::new("."), &["fault"]);
    assert_eq!((code, stdout.as_str()), (70, ""));
    assert!(stderr.starts_with("internal fault: asked for ("), "{stderr}");
    assert!(stderr.ends_with("\n  lutsim fault\n"), "{stderr}");
}

#[test]
fn usage_errors_exit_2_and_help_0() {
    assert_eq!(lutsim(Path::new("."), &["rum"]).0, 2);
    assert_eq!(lutsim(Path::new("."), &["run", "--engine", "warp"]).0, 2);
    let (code, stdout, stderr) = lutsim(Path::new("."), &["run", "--help"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let flags = "--config --chip --model --batch --prompt --context --generate --weights --group --activations --tables --kv \
                 --phase --values --engine --set --out --json --every-step --dump-mapping --mapping";
    for flag in flags.split_whitespace() {
        assert!(stdout.contains(flag), "run --help has no {flag}");
    }
}

#[test]
fn a_chip_is_a_path_or_a_name_with_or_without_toml() {
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str| lutsim(folder.path(), &["config", "--config", name]);
    assert_eq!(config("tiny"), config("tiny.toml"));
    let own = lutsim_sim::chip_file::builtin_text("tiny").unwrap().replace("cores = 2", "cores = 3");
    std::fs::write(folder.path().join("tiny.toml"), own).unwrap();
    let (code, stdout, _) = config("tiny.toml");
    assert!(code == 0 && stdout.contains("\"cores\": 3"), "an existing path wins: {stdout}");
}

#[test]
fn a_closed_pipe_is_quiet() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lutsim"))
        .args(["config", "--config", "tiny"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn completions_and_man_pages_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let (_, help, _) = lutsim(folder.path(), &["--help"]);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' ') && !line.starts_with("help "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"run") && commands.contains(&"man"), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, script, _) = lutsim(folder.path(), &["completions", shell]);
        assert_eq!(code, 0, "{shell}");
        for command in &commands {
            assert!(script.contains(command), "{shell}: no {command}");
        }
    }
    assert_eq!(lutsim(folder.path(), &["man", "--out", "man"]).0, 0);
    let mut pages: Vec<String> = std::fs::read_dir(folder.path().join("man"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let mut expected: Vec<String> = commands.iter().map(|c| format!("lutsim-{c}.1")).collect();
    expected.push("lutsim.1".into());
    expected.sort();
    assert_eq!(pages, expected);
    let run = std::fs::read_to_string(folder.path().join("man/lutsim-run.1")).unwrap();
    assert_eq!(lutsim(folder.path(), &["man", "run"]), (0, run.clone(), String::new()));
    assert!(run.contains(".TH lutsim-run 1") && run.contains("every\\-step"), "{run}");
}
