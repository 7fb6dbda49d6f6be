//! The TOML of a standard as written, before validation.

use serde::Deserialize;
use toml::Spanned;

type Row = (String, Vec<String>, Vec<String>, Number, u32, bool);

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Number {
    Clocks(i64),
    Expression(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standard {
    pub(crate) name: String,
    pub(crate) family: String,
    pub(crate) summary: String,
    pub(crate) policy: String,
    pub(crate) sources: Vec<String>,
    pub(crate) clock: Clock,
    pub(crate) organization: Organization,
    pub(crate) device: Device,
    #[serde(deserialize_with = "ordered")]
    pub(crate) timing: Vec<(String, Spanned<Timing>)>,
    pub(crate) constraints: Constraints,
    pub(crate) power: Option<Power>,
    pub(crate) energy: Option<Events>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clock {
    pub(crate) hz: u64,
    #[serde(default = "one_u64")]
    pub(crate) per: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Organization {
    pub(crate) levels: Vec<(String, u32)>,
    pub(crate) rows: u32,
    pub(crate) bursts_per_row: u32,
    pub(crate) request_bytes: u32,
    #[serde(default = "one")]
    pub(crate) channels: u32,
    #[serde(default = "one")]
    pub(crate) max_injected_per_tick: u32,
    pub(crate) mapping: Vec<String>,
    #[serde(default)]
    pub(crate) mapping_xor: Vec<String>,
    pub(crate) pin_peak_bytes_per_second: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Device {
    pub(crate) read_latency: Number,
    pub(crate) write_latency: Number,
    pub(crate) burst: Number,
    pub(crate) refresh_level: String,
    pub(crate) refresh_interval: Number,
    pub(crate) act2_deadline: Option<Number>,
    pub(crate) power_down_exit: Option<Number>,
    pub(crate) self_refresh_exit: Option<Number>,
    pub(crate) data_clock_hold_read: Option<Number>,
    pub(crate) data_clock_hold_write: Option<Number>,
    #[serde(default)]
    pub(crate) dual_command: bool,
    #[serde(default)]
    pub(crate) half_rate_columns: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Timing {
    Clocks(i64),
    Table(TimingTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimingTable {
    pub(crate) clocks: Option<Number>,
    pub(crate) ns: Option<f64>,
    #[serde(default)]
    pub(crate) min_clocks: i64,
    #[serde(default)]
    pub(crate) round_down: bool,
    pub(crate) source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Constraints {
    pub(crate) list: Vec<Spanned<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Power {
    pub(crate) devices: f64,
    pub(crate) vdd: f64,
    pub(crate) idd0: f64,
    pub(crate) idd2n: f64,
    pub(crate) idd3n: f64,
    pub(crate) idd4r: f64,
    pub(crate) idd4w: f64,
    pub(crate) idd5ab: f64,
    pub(crate) idd5pb: Option<f64>,
    pub(crate) idd2p: Option<f64>,
    pub(crate) idd3p: Option<f64>,
    pub(crate) idd6: Option<f64>,
    pub(crate) tras: Option<Number>,
    pub(crate) trp: Option<Number>,
    pub(crate) trfc: Option<Number>,
    pub(crate) trfcpb: Option<Number>,
    pub(crate) source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Events {
    pub(crate) activate_pj: [f64; 3],
    pub(crate) read_pj_per_bit: [f64; 3],
    pub(crate) write_pj_per_bit: [f64; 3],
    pub(crate) refresh_pj: [f64; 3],
    pub(crate) bank_refresh_pj: Option<[f64; 3]>,
    pub(crate) active_mw: [f64; 3],
    pub(crate) precharged_mw: [f64; 3],
    pub(crate) power_down_mw: Option<[f64; 3]>,
    pub(crate) self_refresh_mw: Option<[f64; 3]>,
    pub(crate) interface_pj_per_bit: [f64; 3],
    pub(crate) source: String,
}

fn one() -> u32 {
    1
}

fn one_u64() -> u64 {
    1
}

/// Keeps the order of the file, so that a timing may refer to the ones above it.
fn ordered<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<(String, Spanned<Timing>)>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Vec<(String, Spanned<Timing>)>;
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("a table of timings")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut out = Vec::new();
            while let Some(entry) = map.next_entry()? {
                out.push(entry);
            }
            Ok(out)
        }
    }
    d.deserialize_map(Visitor)
}
