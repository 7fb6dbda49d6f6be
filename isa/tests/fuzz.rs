//! Damaged assembly texts and program files: an error or a program, no panic, and heap in proportion.

mod damage;

use lutsim_isa::asm::{assemble, disassemble};
use lutsim_isa::program::Program;

const TEXT: &str = "; A comment.
set r0, #0
set r1, #281474976710655
loop #3 {
  tile t0, r0, #0, #1, #128, #0, i8
  tile t1, r0, #4096, #64, r2, #0, int2g128
  load.weights t1, r1, #64, #0, weights, -, !s0
  lmma.m2n64k4t8.int8.int2.i24.f32 t0, t1, 1x1, first, ?s0, !s16
  lmma.m2n64k4.fp16.int1.58.f32.f32 t0, t1, 2x2, -, -, -
  vnorm.rms t2, t0, t1, 1e-5, ?s16, !s24
  vsoftmax.causal t2, t2, r3, 0.125, -, -
}
sync.load ?s24, -
halt
";

#[test]
fn programs() {
    // An instruction is 100 bytes at most, and a line of text 5.
    let accepted = damage::texts(TEXT, 20_000, (100, 8192), |text| {
        let Ok(program) = assemble(text) else { return false };
        assert_eq!(assemble(&disassemble(&program)).unwrap(), program, "{text}");
        true
    });
    assert!((500..19_500).contains(&accepted), "{accepted} of 20000: the damage is of one kind");
    let file = assemble(TEXT).unwrap().to_file();
    let accepted = damage::files(&file, 20_000, (20, 8192), |bytes| match Program::from_file(bytes) {
        Ok(program) => {
            assert_eq!(program.to_file(), bytes);
            true
        }
        Err(error) => error.to_string().is_empty(),
    });
    assert!((100..19_500).contains(&accepted), "{accepted} of 20000");
}
