//! What an accounting says: operators of prefill and decode, their bytes, rates and times.

/// A count as Python has it: whole numbers are exact until one that is none comes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// Exact.
    Whole(u128),
    /// In double precision.
    Real(f64),
}

impl Count {
    /// In double precision, rounded once.
    pub fn real(self) -> f64 {
        match self {
            Count::Whole(n) => n as f64,
            Count::Real(x) => x,
        }
    }
    /// Times a whole number.
    #[must_use]
    pub fn times(self, n: u128) -> Count {
        match self {
            Count::Whole(m) => Count::Whole(m * n),
            Count::Real(x) => Count::Real(x * n as f64),
        }
    }
    /// The sum.
    #[must_use]
    pub fn plus(self, other: Count) -> Count {
        match (self, other) {
            (Count::Whole(a), Count::Whole(b)) => Count::Whole(a + b),
            (a, b) => Count::Real(a.real() + b.real()),
        }
    }
}

/// Bytes to and from DRAM, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bytes {
    /// Weights read.
    pub weight: f64,
    /// Activations read.
    pub act_read: f64,
    /// Activations written.
    pub act_write: f64,
    /// Cached keys and values read.
    pub kv_read: f64,
    /// Keys and values written to the cache.
    pub kv_write: f64,
}

impl Bytes {
    /// All of them, added in the order of the fields.
    pub fn total(&self) -> f64 {
        self.weight + self.act_read + self.act_write + self.kv_read + self.kv_write
    }
    pub(crate) fn add(&mut self, other: &Bytes, times: f64) {
        self.weight += other.weight * times;
        self.act_read += other.act_read * times;
        self.act_write += other.act_write * times;
        self.kv_read += other.kv_read * times;
        self.kv_write += other.kv_write * times;
    }
}

/// What limits an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The DRAM's bandwidth.
    Memory,
    /// The peak of operations.
    Compute,
}

impl Bound {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Memory => "memory",
            Bound::Compute => "compute",
        }
    }
}

/// One operator of one layer, or one that stands outside the layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// Name.
    pub name: &'static str,
    /// How often it comes: once per layer, or once.
    pub times: u32,
    /// Whether it multiplies matrices.
    pub matrix: bool,
    /// Operations, two per multiply-accumulate.
    pub ops: Count,
    /// Bytes by what they are.
    pub bytes: Bytes,
    /// Operations per byte.
    pub intensity: f64,
    /// Operations per second that the roofline allows.
    pub performance: f64,
    /// Peak that was looked at, operations per second.
    pub peak: f64,
    /// What limits it.
    pub bound: Bound,
    /// Seconds of one.
    pub seconds: f64,
}

/// Prefill or decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// All tokens of the prompts at once.
    Prefill,
    /// One token per sequence.
    Decode,
}

impl StageKind {
    /// Both, in order.
    pub const ALL: [StageKind; 2] = [StageKind::Prefill, StageKind::Decode];
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            StageKind::Prefill => "prefill",
            StageKind::Decode => "decode",
        }
    }
}

/// What must lie in DRAM at a time, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// All of it.
    pub whole: f64,
    /// Weights.
    pub weight: f64,
    /// Keys and values.
    pub kv: f64,
    /// Activations.
    pub activations: f64,
}

/// Prefill or decode of a whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Which.
    pub kind: StageKind,
    /// Operators of a layer, and those outside.
    pub operators: Vec<Operator>,
    /// Operations of the model.
    pub ops: Count,
    /// Bytes of the model.
    pub bytes: Bytes,
    /// The same, as the sum of the operators' sums.
    pub access: f64,
    /// Seconds of the model, operators one after another.
    pub seconds: f64,
    /// Memory that it takes.
    pub memory: Memory,
}

impl Stage {
    /// Sums operators, in their order, those of layers first.
    pub(crate) fn new(kind: StageKind, operators: Vec<Operator>, memory: Memory) -> Stage {
        let (mut ops, mut bytes, mut access, mut seconds) = (Count::Whole(0), Bytes::default(), 0.0, 0.0);
        for o in &operators {
            let times = f64::from(o.times);
            ops = ops.plus(o.ops.times(u128::from(o.times)));
            bytes.add(&o.bytes, times);
            access += o.bytes.total() * times;
            seconds += o.seconds * times;
        }
        Stage { kind, operators, ops, bytes, access, seconds, memory }
    }
}

/// Both stages under one accounting.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// Prefill, then decode.
    pub stages: [Stage; 2],
}
