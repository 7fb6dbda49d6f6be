//! Machines: `configs/baselines/*.toml`, embedded. Every number with its unit and where it comes from.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// Why a machine cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HardwareError {
    /// No such built-in machine.
    #[error("there is no hardware `{name}`{}", near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The closest name, when there is one.
        near: Option<&'static str>,
    },
    /// A file that does not say what it should.
    #[error("{file}: {message}")]
    File {
        /// Which file.
        file: String,
        /// What is wrong.
        message: String,
        /// Byte range in the file, when known.
        span: Option<(usize, usize)>,
    },
    /// A peak that the accounting needs and the machine does not have.
    #[error("{name} has no peak of {needs}")]
    Peak {
        /// The machine.
        name: String,
        /// Which peak, and why it is needed.
        needs: &'static str,
    },
}

/// How a number was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Its source says so.
    Sourced,
    /// Computed from what its source says.
    Derived,
    /// Nobody says so; the source says why this number.
    Assumed,
}

impl Basis {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Sourced => "sourced",
            Basis::Derived => "derived",
            Basis::Assumed => "assumed",
        }
    }
}

/// A number with its unit and its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Quoted {
    /// Value in `unit`.
    pub value: f64,
    /// Unit: `B/s`, `B`, `W` or `OP/s`.
    pub unit: &'static str,
    /// How it was obtained.
    pub basis: Basis,
    /// Where from, or why.
    pub source: String,
}

/// A type of numbers that a machine has a peak for, narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// 4-bit integers.
    Int4,
    /// 8-bit integers.
    Int8,
    /// 16-bit floats.
    Fp16,
    /// 32-bit floats.
    Fp32,
}

impl Type {
    /// Name.
    pub fn name(self) -> &'static str {
        match self {
            Type::Int4 => "int4",
            Type::Int8 => "int8",
            Type::Fp16 => "fp16",
            Type::Fp32 => "fp32",
        }
    }
    /// Bits of a number.
    pub fn bits(self) -> f64 {
        match self {
            Type::Int4 => 4.0,
            Type::Int8 => 8.0,
            Type::Fp16 => 16.0,
            Type::Fp32 => 32.0,
        }
    }
}

/// What kind of machine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A processor.
    Cpu,
    /// A graphics processor.
    Gpu,
    /// A neural processor.
    Npu,
}

/// What LLM-Viewer has for the machine, where it has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolEntry {
    /// Its name there.
    pub name: String,
    /// B/s.
    pub bandwidth: f64,
    /// OP/s.
    pub fp16: f64,
    /// OP/s; one of its machines has none.
    pub int8: Option<f64>,
    /// B.
    pub onchip: f64,
    /// Where it says so.
    pub source: String,
}

/// What a roofline looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// DRAM, B/s.
    pub bandwidth: f64,
    /// OP/s.
    pub peak: f64,
    /// On-chip buffer, B.
    pub onchip: f64,
}

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Hardware {
    /// Name.
    pub name: String,
    /// What it is.
    pub class: Class,
    /// DRAM, B/s.
    pub bandwidth: Quoted,
    /// On-chip buffer of all cores, B.
    pub onchip: Quoted,
    /// Power, W.
    pub power: Option<Quoted>,
    /// Peaks, OP/s, two per multiply-accumulate.
    pub peaks: BTreeMap<Type, Quoted>,
    /// What LLM-Viewer has.
    pub llm_viewer: Option<ToolEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuoted {
    value: Spanned<f64>,
    unit: Spanned<String>,
    basis: Basis,
    source: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    class: Class,
    bandwidth: RawQuoted,
    onchip: RawQuoted,
    power: Option<RawQuoted>,
    peaks: Spanned<BTreeMap<Type, RawQuoted>>,
    llm_viewer: Option<ToolEntry>,
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        /// Built-in machines: name and text, in the order they are listed.
        const BUILTIN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../configs/baselines/", $name, ".toml")))),*];
    };
}
builtin!(
    "a6000",
    "a100",
    "a100-80g",
    "h100",
    "rtx4090",
    "orin-gpu",
    "m2-ultra-gpu",
    "mi250",
    "13900k",
    "x-elite",
    "8gen3",
    "pi5",
    "orin-cpu",
    "m1",
    "m1-pro",
    "m1-max",
    "m1-ultra",
    "m2",
    "m2-pro",
    "m2-max",
    "m2-ultra",
    "i7-13700h",
    "i7-13800h",
    "i5-1035g7",
);

/// What a name is compared as: `nvidia_A6000` is `a6000`, `M1 Pro` is `m1-pro`.
fn plain(name: &str) -> String {
    let name = name.strip_suffix(".toml").unwrap_or(name).to_lowercase().replace(['_', ' '], "-");
    let maker = ["nvidia-", "intel-", "apple-"].iter().find_map(|maker| name.strip_prefix(maker));
    maker.unwrap_or(&name).to_owned()
}

impl RawQuoted {
    fn check(self, unit: &'static str) -> Result<Quoted, (String, Option<(usize, usize)>)> {
        let fail = |span: std::ops::Range<usize>, why: String| Err((why, Some((span.start, span.end))));
        let value = *self.value.get_ref();
        if !(value > 0.0 && value.is_finite()) {
            return fail(self.value.span(), format!("value: {value} is not a positive number"));
        }
        if self.unit.get_ref() != unit {
            return fail(self.unit.span(), format!("unit: `{}` is not `{unit}`", self.unit.get_ref()));
        }
        if self.source.get_ref().trim().is_empty() {
            return fail(self.source.span(), "source: a number needs one".into());
        }
        Ok(Quoted { value, unit, basis: self.basis, source: self.source.into_inner() })
    }
}

impl Hardware {
    /// Names of the built-in machines.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// A built-in machine by name, or by that of LLM-Viewer.
    ///
    /// # Errors
    /// There is none; the near miss is named.
    pub fn builtin(name: &str) -> Result<Hardware, HardwareError> {
        let bare = plain(name);
        if let Some((n, text)) = BUILTIN.iter().find(|(n, _)| *n == bare) {
            return Hardware::parse(&format!("{n}.toml"), text);
        }
        let near = Hardware::names().map(|n| (strsim::levenshtein(n, &bare), n)).min_by_key(|near| near.0);
        // No more than half of what was typed may be wrong.
        let near = near.filter(|(d, _)| *d <= 4.min(bare.len() / 2)).map(|(_, n)| n);
        Err(HardwareError::Unknown { name: name.into(), near })
    }

    /// The machine of a file called `file`.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(file: &str, text: &str) -> Result<Hardware, HardwareError> {
        let error = |message: String, span: Option<(usize, usize)>| HardwareError::File {
            file: file.into(),
            message,
            span,
        };
        let raw: Raw = toml::from_str(text)
            .map_err(|e| error(e.message().trim_end().into(), e.span().map(|s| (s.start, s.end))))?;
        let quoted = |q: RawQuoted, unit| q.check(unit).map_err(|(message, span)| error(message, span));
        let span = raw.peaks.span();
        let peaks = raw.peaks.into_inner().into_iter();
        let peaks: BTreeMap<Type, Quoted> =
            peaks.map(|(t, q)| Ok((t, quoted(q, "OP/s")?))).collect::<Result<_, HardwareError>>()?;
        if !peaks.keys().any(|t| t.bits() >= 16.0) {
            let why = "peaks: one of fp16 or fp32 is needed";
            return Err(error(why.into(), Some((span.start, span.end))));
        }
        Ok(Hardware {
            name: raw.name,
            class: raw.class,
            bandwidth: quoted(raw.bandwidth, "B/s")?,
            onchip: quoted(raw.onchip, "B")?,
            power: raw.power.map(|q| quoted(q, "W")).transpose()?,
            peaks,
            llm_viewer: raw.llm_viewer,
        })
    }

    /// Replaces the bandwidth (B/s), every peak (OP/s) and the on-chip buffer (B), where they are given.
    pub fn replace(&mut self, bandwidth: Option<f64>, peak: Option<f64>, onchip: Option<f64>) {
        let put = |quoted: &mut Quoted, value: Option<f64>| {
            if let Some(value) = value {
                *quoted = Quoted {
                    value,
                    unit: quoted.unit,
                    basis: Basis::Assumed,
                    source: "the command line".into(),
                };
            }
        };
        put(&mut self.bandwidth, bandwidth);
        put(&mut self.onchip, onchip);
        self.peaks.values_mut().for_each(|quoted| put(quoted, peak));
        if let Some(tool) = &mut self.llm_viewer {
            tool.bandwidth = bandwidth.unwrap_or(tool.bandwidth);
            tool.onchip = onchip.unwrap_or(tool.onchip);
            tool.fp16 = peak.unwrap_or(tool.fp16);
            tool.int8 = peak.or(tool.int8);
        }
    }

    /// What LLM-Viewer looks at: its own numbers where it has the machine; the INT8 peak if weights, activations and cache have at
    /// most 8 bits, else FP16's.
    ///
    /// # Errors
    /// There is no such peak.
    pub fn tool_limits(&self, [w, a, kv]: [f64; 3]) -> Result<Limits, HardwareError> {
        let narrow = w <= 8.0 && a <= 8.0 && kv <= 8.0;
        let own = |t: Type| self.peaks.get(&t).map(|q| q.value);
        let (bandwidth, onchip, fp16, int8) = match &self.llm_viewer {
            Some(tool) => (tool.bandwidth, tool.onchip, Some(tool.fp16), tool.int8),
            None => (self.bandwidth.value, self.onchip.value, own(Type::Fp16), own(Type::Int8)),
        };
        let (peak, needs) = match narrow {
            true => {
                (int8, "int8, which LLM-Viewer takes when weights, activations and cache have at most 8 bits")
            }
            false => (
                fp16,
                "fp16, which LLM-Viewer takes when weights, activations or cache have more than 8 bits",
            ),
        };
        let peak = peak.ok_or_else(|| HardwareError::Peak { name: self.name.clone(), needs })?;
        Ok(Limits { bandwidth, peak, onchip })
    }

    /// The fastest type that holds operands of `bits`; the widest where none does.
    pub fn matrix_peak(&self, bits: f64) -> (Type, f64) {
        let rates = || self.peaks.iter().map(|(t, q)| (*t, q.value));
        let wide_enough = rates().filter(|(t, _)| t.bits() >= bits);
        let fastest = wide_enough.max_by(|a, b| a.1.total_cmp(&b.1));
        fastest.or_else(|| rates().max_by(|a, b| a.0.cmp(&b.0))).expect("a machine has a peak")
    }

    /// The peak of operators that multiply no matrices: FP32's, else FP16's.
    pub fn vector_peak(&self) -> (Type, f64) {
        self.matrix_peak(32.0)
    }
}
