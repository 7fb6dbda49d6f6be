//! What each instruction means, in values.
