//! Text to program and back. One instruction a line; `;` starts a comment; `loop #4 {` ... `}` nests.

use crate::define::Operands;
use crate::field::{Body, Queue};
use crate::program::Program;
use crate::table::Inst;

/// A line that could not be assembled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {message}")]
pub struct AsmError {
    /// Line number, from 1.
    pub line: usize,
    /// Byte range of the line in the source.
    pub span: (usize, usize),
    /// What is wrong.
    pub message: String,
}

pub(crate) fn unknown_mnemonic(mnemonic: &str) -> String {
    let near = Inst::TABLE
        .iter()
        .map(|row| {
            (
                strsim::levenshtein(mnemonic.trim_end_matches('.'), row.mnemonic.trim_end_matches('.')),
                row.mnemonic,
            )
        })
        .min();
    match near {
        Some((d, near)) if d <= 2 => {
            format!("`{mnemonic}` is no instruction; did you mean `{}`?", near.trim_end_matches('.'))
        }
        _ => format!("`{mnemonic}` is no instruction"),
    }
}

/// Parses one line that holds an instruction.
fn parse_line(line: &str) -> Result<Inst, String> {
    let (head, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let mut operands: std::collections::VecDeque<&str> = rest.split(',').map(str::trim).collect();
    if rest.trim().is_empty() {
        operands.clear();
    }
    // `loop #4 {`: the brace is an operand of its own.
    if let Some(last) = operands.back_mut()
        && let Some(count) = last.strip_suffix('{')
    {
        *last = count.trim();
        operands.push_back("{");
    }
    let mnemonic = match head.split_once('.') {
        Some((family, suffix)) => {
            operands.push_front(suffix);
            &head[..family.len() + 1]
        }
        None => head,
    };
    let inst = Inst::parse_operands(mnemonic, &mut Operands { rest: operands })?;
    check_signal(&inst)?;
    Ok(inst)
}

fn check_signal(inst: &Inst) -> Result<(), String> {
    match inst.queue().zip(inst.signal()) {
        Some((queue, sem)) if sem.producer() != queue => {
            let first = 8 * Queue::ALL.iter().position(|&q| q == queue).unwrap_or(0);
            Err(format!(
                "{sem} is signalled by the {} queue; a {queue} instruction signals s{first} to s{}",
                sem.producer(),
                first + 7
            ))
        }
        _ => Ok(()),
    }
}

/// Assembles a program.
///
/// # Errors
/// The first line that is no instruction, or an unbalanced brace.
pub fn assemble(text: &str) -> Result<Program, AsmError> {
    let mut code: Vec<Inst> = Vec::new();
    let mut open: Vec<(usize, usize, (usize, usize))> = Vec::new();
    let mut at = 0;
    for (index, raw) in text.split('\n').enumerate() {
        let span = (at, at + raw.len());
        at += raw.len() + 1;
        let line = raw.split(';').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let error = |message| AsmError { line: index + 1, span, message };
        let inst = parse_line(line).map_err(error)?;
        match inst {
            Inst::Loop { .. } => open.push((code.len(), index + 1, span)),
            Inst::End {} => {
                let (start, ..) = open.pop().ok_or_else(|| error("`}` closes no loop".into()))?;
                let length = (code.len() - start) as u32;
                if let Inst::Loop { body, .. } = &mut code[start] {
                    *body = Body(length);
                }
            }
            _ => {}
        }
        code.push(inst);
    }
    match open.pop() {
        Some((_, line, span)) => Err(AsmError { line, span, message: "this loop has no `}`".into() }),
        None => Ok(Program { code }),
    }
}

/// Prints a program; [`assemble`] reads it back to the same words.
pub fn disassemble(program: &Program) -> String {
    let mut out = String::new();
    let mut depth = 0usize;
    for inst in &program.code {
        if matches!(inst, Inst::End {}) {
            depth = depth.saturating_sub(1);
        }
        let text = inst.to_string().replace(", {", " {");
        out.push_str(&"  ".repeat(depth));
        out.push_str(&text);
        out.push('\n');
        if matches!(inst, Inst::Loop { .. }) {
            depth += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_decode_to_what_they_encode(word in crate::table::arbitrary_words()) {
            if let Ok(inst) = Inst::decode(word) {
                prop_assert_eq!(inst.encode(), word);
            }
        }
        #[test]
        fn text_reads_back(word in crate::table::arbitrary_words()) {
            if let Ok(inst) = Inst::decode(word)
                && !matches!(inst, Inst::Loop { .. } | Inst::End {})
                && check_signal(&inst).is_ok()
            {
                let text = inst.to_string();
                prop_assert_eq!(parse_line(&text).map_err(|e| format!("{text}: {e}")), Ok(inst));
            }
        }
        #[test]
        fn any_word_is_decoded_or_refused(word in any::<u128>()) {
            if let Ok(inst) = Inst::decode(word) {
                prop_assert_eq!(inst.encode(), word);
            }
        }
        #[test]
        fn any_text_is_assembled_or_refused(text in "[a-z0-9.,#?!{} \n;-]{0,200}") {
            let _ = assemble(&text);
        }
    }

    const LOOPS: &str = "\
set r1, #0
loop #4 {
  loop r2 {
    add r1, r1, #64
  }
}
lmma.m2n64k4.int8.int1.58.i24.f32 t1, t2, 1x16, first, ?s0, !s16
vact.silu t1, t2, -, !s24
halt
";

    #[test]
    fn loops_nest_and_print() {
        let program = assemble(LOOPS).unwrap();
        assert_eq!(disassemble(&program), LOOPS);
        assert_eq!(program.code[1], Inst::Loop { count: crate::field::Dim::Imm(4), body: Body(4) });
        assert_eq!(Program::from_file(&program.to_file()).unwrap(), program);
    }

    #[test]
    fn errors_name_the_line() {
        let say = |text| assemble(text).unwrap_err().to_string();
        assert_eq!(say("halt\nlod r1"), "line 2: `lod` is no instruction; did you mean `load`?");
        assert_eq!(
            say("set r40, #1"),
            "line 1: set: operand `rd`: `r40` is out of range: a register goes up to r31"
        );
        assert_eq!(say("loop #3 {\nhalt"), "line 1: this loop has no `}`");
        assert_eq!(say("}"), "line 1: `}` closes no loop");
        assert_eq!(
            say("vadd t0, t1, t2, -, !s3"),
            "line 1: s3 is signalled by the load queue; a vector instruction signals s24 to s31"
        );
        assert_eq!(say("set r1"), "line 1: set: operand `value` (a 48-bit constant) is missing");
    }

    #[test]
    fn foreign_files_are_refused() {
        use crate::program::ProgramError;
        let file = assemble("halt").unwrap().to_file();
        assert_eq!(Program::from_file(b"ELF"), Err(ProgramError::Magic));
        assert!(matches!(Program::from_file(&file[..60]), Err(ProgramError::Length { .. })));
        let mut other = file.clone();
        other[20] ^= 1;
        assert_eq!(Program::from_file(&other), Err(ProgramError::Table));
        let mut version = file;
        version[8] = 9;
        assert_eq!(Program::from_file(&version), Err(ProgramError::Version(9)));
    }
}
