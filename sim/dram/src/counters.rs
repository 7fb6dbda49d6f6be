//! What a channel did, in integers: commands by kind, row outcomes, background clocks.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Event counts of one channel; every one is additive.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Adds another channel's counts.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
            }

            /// Each of them.
            pub fn each(&mut self, mut f: impl FnMut(&mut u64)) {
                $(f(&mut self.$name);)*
            }

            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Counters) -> Counters {
                Counters { $($name: self.$name - earlier.$name,)* }
            }
        }
    };
}

counters! {
    /// Read commands.
    reads,
    /// Write commands.
    writes,
    /// Activates (a split activate counts once).
    activates,
    /// Precharge commands, of one bank or of a whole scope.
    precharges,
    /// Those of them that close a whole scope.
    precharge_alls,
    /// All-bank refreshes, one per scope.
    refreshes,
    /// Per-bank refreshes.
    bank_refreshes,
    /// Refreshes that the `aligned` policy had to force because no hint came in time.
    forced_refreshes,
    /// Data clock synchronisations (LPDDR5 CAS).
    cas_sync,
    /// Reads whose row was open when their first command issued.
    read_row_hits,
    /// Writes likewise.
    write_row_hits,
    /// Requests that found their bank closed.
    row_misses,
    /// Requests that found another row open.
    row_conflicts,
    /// Clocks x scopes with at least one row open.
    active_clocks,
    /// Clocks x scopes with all rows closed.
    precharged_clocks,
    /// Clocks with data on the bus.
    data_clocks,
    /// Of `active_clocks`, those in power-down.
    active_power_down_clocks,
    /// Of `precharged_clocks`, those in power-down.
    precharged_power_down_clocks,
    /// Of `precharged_clocks`, those in self-refresh.
    self_refresh_clocks,
    /// Self-refresh entries.
    self_refreshes,
}

impl Counters {
    /// Reads and writes that hit an open row.
    pub fn row_hits(&self) -> u64 {
        self.read_row_hits + self.write_row_hits
    }
}
