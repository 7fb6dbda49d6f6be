//! Text cases through the binary: what is typed, what comes out. `LUTSIM_BLESS=1` rewrites what comes out.
//!
//! ```text
//! # a comment
//! chip NAME.toml from BUILTIN: "old" -> "new"     a built-in chip file with one text replaced
//! dram NAME.toml from BUILTIN: "old" -> "new"     a built-in DRAM standard likewise
//! file NAME                                       a file of the `|` lines that follow
//! truncate NAME BYTES                             cuts a file
//! $ lutsim ...                                    runs it in a folder of its own; then what is expected:
//! exit CODE
//! stdout
//! | ...
//! stderr
//! | ...
//! ```

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const BIN: &str = env!("CARGO_BIN_EXE_lutsim");

/// Runs `lutsim` in `folder`: exit code, stdout, stderr.
pub(crate) fn lutsim(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(BIN).args(args).current_dir(folder).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/errors");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let bless = std::env::var_os("LUTSIM_BLESS").is_some();
    let mut wrong = String::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let found = run(&text);
        if bless {
            std::fs::write(&path, found).unwrap();
        } else if found != text {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let _ = writeln!(wrong, "==== {name}\n{}", difference(&text, &found));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}LUTSIM_BLESS=1 accepts what was found");
}

fn difference(expected: &str, found: &str) -> String {
    let same = expected.lines().zip(found.lines()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str| text.lines().skip(same).collect::<Vec<_>>().join("\n");
    format!("---- expected, from line {}\n{}\n---- found\n{}", same + 1, rest(expected), rest(found))
}

/// The case with what it gave in place of what was expected.
fn run(case: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut out = String::new();
    let mut lines = case.lines().peekable();
    while let Some(line) = lines.next() {
        let _ = writeln!(out, "{line}");
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" | "#" => {}
            "chip" => change(folder.path(), rest, |n| lutsim_sim::chip_file::builtin_text(n).unwrap().into()),
            "dram" => change(folder.path(), rest, |n| {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/dram");
                std::fs::read_to_string(folder.join(n).with_extension("toml")).unwrap()
            }),
            "file" => {
                let mut text = String::new();
                while let Some(line) = lines.next_if(|l| l.starts_with('|')) {
                    let _ = writeln!(out, "{line}");
                    text += line[1..].strip_prefix(' ').unwrap_or(&line[1..]);
                    text.push('\n');
                }
                std::fs::write(folder.path().join(rest), text).unwrap();
            }
            "truncate" => {
                let (name, bytes) = rest.split_once(' ').unwrap();
                let path = folder.path().join(name);
                let whole = std::fs::read(&path).unwrap();
                std::fs::write(&path, &whole[..bytes.parse().unwrap()]).unwrap();
            }
            "$" => {
                let args = split(rest.strip_prefix("lutsim").expect("cases run lutsim"));
                let args: Vec<_> = args.iter().map(String::as_str).collect();
                let (code, stdout, stderr) = lutsim(folder.path(), &args);
                let _ = writeln!(out, "exit {code}");
                for (name, text) in [("stdout", stdout), ("stderr", stderr)] {
                    if !text.is_empty() {
                        let _ = writeln!(out, "{name}");
                        text.lines().for_each(|l| {
                            let _ = writeln!(out, "{}", format!("| {l}").trim_end());
                        });
                    }
                }
                // What was expected is not copied.
                while lines
                    .next_if(|l| {
                        l.starts_with("exit ") || *l == "stdout" || *l == "stderr" || l.starts_with('|')
                    })
                    .is_some()
                {}
            }
            other => panic!("a case has no `{other}`"),
        }
    }
    out
}

/// Writes a built-in file with one text replaced.
fn change(folder: &Path, rest: &str, text: impl Fn(&str) -> String) {
    let (name, rest) = rest.split_once(" from ").unwrap();
    let (builtin, change) = rest.split_once(": ").unwrap();
    let (old, new) = change.split_once(" -> ").unwrap();
    let unquote = |s: &str| s[1..s.len() - 1].replace("\\n", "\n").replace("\\\"", "\"");
    let text = text(builtin);
    let (old, new) = (unquote(old), unquote(new));
    assert!(text.contains(&old), "{builtin} has no `{old}`");
    std::fs::write(folder.join(name), text.replace(&old, &new)).unwrap();
}

/// Words, with single quotes around what holds spaces.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
