//! A record as a run of Llama-2-7B leaves one, made from round numbers (no simulator involved).

use lutsim_record::*;

const CORE_HZ: u64 = 1_000_000_000;
const PEAK: f64 = 76.8e9;

/// name, reduction, columns, bits of storage per 1000 weights
const GEMMS: [(&str, u64, u64, u64); 4] = [
    ("attn.qkv", 4096, 12288, 2141),
    ("attn.out", 4096, 4096, 2141),
    ("mlp.gate_up", 4096, 22016, 2141),
    ("mlp.down", 11008, 4096, 2141),
];

struct Builder {
    phase: &'static str,
    rows: u64,
    times: u64,
    operators: Vec<OperatorRecord>,
    events: Events,
    classes: DramBytesByClass,
}

impl Builder {
    fn push(
        &mut self,
        name: &str,
        layer: Option<u64>,
        macs: u64,
        vector_ops: u64,
        bytes: u64,
        lut_cycles: u64,
    ) {
        let bytes = bytes.next_multiple_of(32) * self.times;
        let vector = vector_ops.div_ceil(64) + 120;
        let memory = (bytes / self.times * 1000).div_ceil(70_800);
        let cycles = lut_cycles.max(memory).max(vector) * self.times;
        let busiest = match (lut_cycles > memory, macs > 0) {
            (_, false) => "vector",
            (true, true) => "lut",
            (false, true) => "dram.0",
        };
        self.events.macs += macs * self.times;
        self.events.lut_selects += macs * self.times / 2;
        self.events.vector_lane_ops += vector_ops * self.times;
        self.events.dram_read_bytes += bytes;
        self.events.dram_reads += bytes / 32;
        self.events.dram_activates += bytes / 2048;
        self.operators.push(OperatorRecord {
            name: name.to_owned(),
            phase: self.phase.to_owned(),
            layer,
            executions: self.times,
            cycles,
            macs: macs * self.times,
            vector_ops: vector_ops * self.times,
            dram_bytes_transferred: bytes,
            dram_bytes_owned: bytes,
            busiest: busiest.to_owned(),
            stalls: [("lut.wait_load", cycles / 3), ("vector.wait_lut", cycles / 2)].into_iter().collect(),
        });
    }

    fn layer(&mut self, layer: u64, context: u64) {
        let rows = self.rows;
        let at = Some(layer);
        for (name, k, n, milli_bits) in GEMMS {
            if name == "attn.qkv" {
                self.push("attn.norm", at, 0, rows * 4096 * 4, 8192, 0);
                self.classes.norm += 8192 * self.times;
            }
            if name == "attn.out" {
                let kv = context * 2 * 4096 / 2;
                self.push("attn.rope", at, 0, rows * 8192 * 3, 512, 0);
                self.classes.rope += 512 * self.times;
                self.push("attn.kv_write", at, 0, rows * 8192 * 2, rows * 8448, 0);
                self.push("attn.scores", at, rows * 4096 * context, 0, kv, rows * 4096 * context / 4096);
                self.push("attn.softmax", at, 0, rows * 32 * context * 5, 640, 0);
                self.push("attn.values", at, rows * 4096 * context, 0, kv, rows * 4096 * context / 4096);
                self.classes.kv += (rows * 8448 + 2 * kv) * self.times;
                self.classes.program += 640 * self.times;
            }
            if name == "mlp.down" {
                self.push("mlp.silu_mul", at, 0, rows * 11008 * 6, 0, 0);
            }
            let bytes = (k * n / 8 * milli_bits / 1000).next_multiple_of(32);
            let codes = k * n / 4;
            self.push(name, at, rows * k * n, 0, bytes, rows * k * n / 4096);
            self.classes.weights += codes * self.times;
            self.classes.scales += (bytes - codes) * self.times;
        }
        self.push("mlp.residual", at, 0, rows * 4096, 0, 0);
    }

    fn totals(mut self, tokens: u64) -> (PhaseTotals, Vec<OperatorRecord>) {
        let cycles: u64 = self.operators.iter().map(|o| o.cycles).sum();
        let lut: u64 = self.events.macs / 4096;
        let vector = self.events.vector_lane_ops / 64;
        let written = self.rows * 8448 * 32 * self.times;
        self.events.dram_read_bytes -= written;
        self.events.dram_write_bytes += written;
        self.events.core_cycles = cycles;
        self.events.instructions = 40_000 * self.times;
        self.events.group_drains = self.events.macs / 128;
        self.events.psum_accesses = self.events.macs / 64;
        self.events.table_adds = self.events.macs / 64;
        self.events.weight_broadcast_bytes = self.events.dram_read_bytes;
        self.events.activation_broadcast_bytes = self.events.macs / 512;
        self.events.scratchpad_read_bytes = 3 * self.events.dram_read_bytes;
        self.events.scratchpad_write_bytes = 2 * self.events.dram_read_bytes;
        self.events.dma_bytes = self.events.dram_read_bytes + written;
        self.events.unpacked_bytes = self.events.dram_read_bytes;
        self.events.lut_pe_cycles = cycles * 2048;
        self.events.vector_lane_cycles = cycles * 64;
        self.events.scratchpad_kib_cycles = cycles * 4096;
        self.events.dram_refreshes = 4 * cycles / 3840;
        self.events.dram_active_clocks = 4 * (cycles * 6 / 5);
        let moved = self.events.dram_read_bytes + written;
        self.classes.overfetch += moved - self.classes.total();
        let clocks = Clocks { core_hz: CORE_HZ, dram_hz: 1_200_000_000 };
        let tech = technology();
        let energy = Energy::compute(&self.events, &clocks, &tech).unwrap();
        let busy = moved * 1000 / 76_800;
        let unit = |kind: UnitKind, busy: u64, total: u64, split: &[(Cause, u64)]| {
            let mut tally = Tally { busy, ..Tally::default() };
            for (cause, per_mille) in split {
                tally.charge(*cause, (total - busy) * per_mille / 1000);
            }
            let rest = total - tally.total();
            tally.charge(Cause::Idle, rest);
            tally.unit(kind, None).unwrap()
        };
        let mut units = vec![
            unit(
                UnitKind::Sequencer,
                self.events.instructions,
                cycles,
                &[(Cause::QueueFull, 950), (Cause::Host, 4)],
            ),
            unit(
                UnitKind::DmaLoad,
                busy,
                cycles,
                &[(Cause::Dram, 620), (Cause::WaitLut, 200), (Cause::Scratchpad, 40)],
            ),
            unit(UnitKind::DmaStore, written / 64, cycles, &[(Cause::WaitVector, 900)]),
            unit(UnitKind::Unpacker, busy / 2, cycles, &[(Cause::Input, 930)]),
            unit(
                UnitKind::Lut,
                lut.min(cycles),
                cycles,
                &[
                    (Cause::WaitLoad, 510),
                    (Cause::WaitVector, 300),
                    (Cause::Drain, 100),
                    (Cause::Pipeline, 40),
                    (Cause::Scratchpad, 5),
                ],
            ),
            unit(UnitKind::Drain, (lut / 2).min(cycles), cycles, &[(Cause::Input, 800)]),
            unit(UnitKind::Vector, vector.min(cycles), cycles, &[(Cause::WaitLut, 850)]),
        ];
        for channel in 0..4 {
            let total = cycles * 6 / 5;
            let mut u = unit(
                UnitKind::Dram,
                (busy * 6 / 5).min(total),
                total,
                &[(Cause::Refresh, 420), (Cause::Timing, 280), (Cause::Turnaround, 20)],
            );
            u.name = UnitKind::Dram.name(Some(channel));
            units.push(u);
        }
        let machine = (CORE_HZ, PEAK);
        (
            PhaseTotals::derive(cycles, tokens, self.events, self.classes, units, &energy, machine),
            self.operators,
        )
    }
}

fn phase(
    phase: &'static str,
    rows: u64,
    times: u64,
    context: u64,
) -> (PhaseTotals, Vec<OperatorRecord>, Events) {
    let mut b = Builder {
        phase,
        rows,
        times,
        operators: Vec::new(),
        events: Events::default(),
        classes: DramBytesByClass::default(),
    };
    b.push("embedding", None, 0, rows * 4096, rows * 8192, 0);
    b.classes.embedding += rows * 8192 * times;
    for layer in 0..32 {
        b.layer(layer, context);
    }
    b.push("final_norm", None, 0, 4096 * 4, 8192, 0);
    b.classes.norm += 8192 * times;
    b.push("head", None, 4096 * 32000, 0, 4096 * 32000 * 65 / 64, 4096 * 32000 / 1024);
    b.classes.weights += 4096 * 32000 * times;
    b.classes.scales += 4096 * 32000 / 64 * times;
    b.push("argmax", None, 0, 32000, 64, 0);
    b.classes.result += 64 * times;
    let (totals, operators) = b.totals(if phase == "prefill" { rows } else { times });
    let events = totals.events;
    (totals, operators, events)
}

/// Llama-2-7B, INT2 in groups of 128, on a chip with 16 cores and 76.8 GB/s.
pub(crate) fn llama() -> Record {
    let (prefill, mut operators, first) = phase("prefill", 128, 1, 128);
    let (decode, more, second) = phase("decode", 1, 32, 144);
    operators.extend(more);
    let tech = technology();
    let clocks = Clocks { core_hz: CORE_HZ, dram_hz: 1_200_000_000 };
    let energy = Energy::compute(&(first + second), &clocks, &tech).unwrap();
    Record::new(
        Provenance {
            version: "0.1.0".to_owned(),
            config_hash: "0".repeat(64),
            config: serde_json::json!({ "chip": { "lut": { "cores": 16 } } }),
        },
        WorkloadSummary {
            model: "Llama-2-7B".to_owned(),
            parameters: 6_738_415_616,
            weight_bytes: 2_130_000_000,
            weights: "int2".to_owned(),
            group: "128".to_owned(),
            stored_bits_per_weight: 2.140625,
            activations: "int8".to_owned(),
            tables: None,
            kv: "int8".to_owned(),
            batch: 1,
            prompt: 128,
            context: 0,
            generate: 32,
            prefill_chunk: Some(128),
            output_token_ids: None,
        },
        MachineSummary {
            chip: "snapdragon_like".to_owned(),
            technology: tech.name.clone(),
            clocks_hz: [("core", CORE_HZ), ("dram", 1_200_000_000)].into_iter().collect(),
            dram_standard: "lpddr5x_9600".to_owned(),
            dram_model: "banked".to_owned(),
            dram_channels: 4,
            dram_peak_bytes_per_second: PEAK,
            scratchpad_bytes: 4 << 20,
            scratchpad_peak_bytes_per_second: 1024e9,
            core_clock_hz: CORE_HZ,
            lut_cores: "16 x M2 N64 K4".to_owned(),
            lut_peak_ops_per_second: [("1", 16.384e12), ("2", 8.192e12), ("4", 4.096e12), ("8", 2.048e12)]
                .into_iter()
                .collect(),
        },
        Phases {
            prefill: Some(PrefillPhase { time_to_first_token_seconds: prefill.seconds, totals: prefill }),
            decode: Some(DecodePhase { totals: decode, simulated_steps: 32, interpolation_residual: None }),
        },
        &energy,
        (Area::none("area is not computed yet"), Price::default()),
        operators,
    )
}

/// Energy of events as it was measured for M2 N64 K4, and of a phone's DRAM.
fn technology() -> Tech {
    let logic = Tech::parse("7nm", include_str!("../../../sim/record/tests/data/7nm.toml")).unwrap();
    logic.with(Tech::builtin("lpddr5x").unwrap()).unwrap()
}
