//! A model's dimensions and the setting that it is looked at in.

/// What the accounting needs to know of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Name.
    pub name: String,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width of the MLP.
    pub intermediate: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Whether the MLP is f(gate) * up; otherwise it is f(up).
    pub gated: bool,
    /// Activation of the MLP.
    pub activation: Activation,
    /// Whether norms centre, and so have biases too.
    pub centred_norms: bool,
    /// Whether there are norms before the output and the down projection.
    pub sub_norms: bool,
    /// Whether there are norms behind attention and behind the MLP.
    pub post_norms: bool,
    /// Whether scores pass a tanh before the softmax.
    pub score_cap: bool,
    /// Whether logits pass a tanh.
    pub logit_cap: bool,
    /// Whether there is a norm behind the embedding.
    pub embedding_norm: bool,
    /// Dimensions of a head that are rotated; 0 without rotary embedding.
    pub rotated: u32,
    /// Whether a learned row is added to every token's embedding.
    pub learned_positions: bool,
    /// Whether the head's matrix is the embedding's.
    pub tied: bool,
    /// Biases: query, key and value; output projection; MLP.
    pub biases: [bool; 3],
    /// Experts of each MLP, which is the MLP of one of them then.
    pub experts: Option<Experts>,
    /// Attention to the nearest tokens only.
    pub window: Option<Window>,
}

/// MLPs of which a token takes some, chosen by a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// How many there are.
    pub count: u32,
    /// How many a token takes.
    pub used: u32,
}

impl Experts {
    /// How many different ones `rows` tokens take together: the expectation when each takes `used` of them, all alike likely,
    /// whatever the others take. An expert is passed over by a token with probability 1 - used / count.
    pub fn read_by(&self, rows: u128) -> f64 {
        if rows == 1 {
            return f64::from(self.used);
        }
        let (count, used) = (f64::from(self.count), f64::from(self.used));
        count * (1.0 - (1.0 - used / count).powf(rows as f64))
    }
}

/// Layers that look back on the nearest tokens only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Tokens, the query's own included.
    pub tokens: u32,
    /// How many layers have it.
    pub layers: u32,
}

/// Activation of the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x / (1 + exp(-x)).
    Silu,
    /// The tanh form of x times the normal distribution.
    Gelu,
    /// max(x, 0).
    Relu,
    /// max(x, 0)^2.
    SquaredRelu,
}

impl Activation {
    /// Operations per element; an exponential, a tanh and a division count as one each.
    pub fn ops(self) -> u32 {
        match self {
            // negate, exp, add, divide
            Activation::Silu => 4,
            // x^2, times 0.0447, plus 1, times x, times 0.798, tanh, plus 1, times x, half
            Activation::Gelu => 9,
            Activation::Relu => 1,
            Activation::SquaredRelu => 2,
        }
    }
}

/// Bits that one element takes in DRAM, scales and zero points included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stored {
    /// Query projection.
    pub q: f64,
    /// Key projection.
    pub k: f64,
    /// Value projection.
    pub v: f64,
    /// Output projection.
    pub o: f64,
    /// Gate of the MLP.
    pub gate: f64,
    /// Up projection.
    pub up: f64,
    /// Down projection.
    pub down: f64,
    /// Router, where there are experts.
    pub router: f64,
    /// Head.
    pub head: f64,
    /// Cached keys and values.
    pub kv: f64,
}

impl Stored {
    /// All weights of `weight` bits, the cache of `kv`.
    pub fn uniform(weight: f64, kv: f64) -> Stored {
        let [q, k, v, o, gate, up, down, router, head] = [weight; 9];
        Stored { q, k, v, o, gate, up, down, router, head, kv }
    }
}

/// How a model is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Sequences at a time.
    pub batch: u32,
    /// Tokens: of the prompt in prefill, in the cache, the new one included, in decode.
    pub length: u32,
    /// Bits of a weight's code.
    pub weight_bits: f64,
    /// Bits of an activation.
    pub activation_bits: f64,
    /// Bits of a cached key's or value's code.
    pub kv_bits: f64,
    /// Bits with everything that is stored beside the codes; only the physical accounting looks.
    pub stored: Stored,
    /// One operator for scores, softmax and values, whose scores stay on the chip.
    pub flash: bool,
}
