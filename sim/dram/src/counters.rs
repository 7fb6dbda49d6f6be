//! What a channel did, in integers: commands by kind, row outcomes, background clocks.

/// Event counts of one channel; every one is additive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Read commands.
    pub reads: u64,
    /// Write commands.
    pub writes: u64,
    /// Activates (a split activate counts once).
    pub activates: u64,
    /// Precharge commands, of one bank or of a whole scope.
    pub precharges: u64,
    /// Those of them that close a whole scope.
    pub precharge_alls: u64,
    /// All-bank refreshes, one per scope.
    pub refreshes: u64,
    /// Per-bank refreshes.
    pub bank_refreshes: u64,
    /// Refreshes that the `aligned` policy had to force because no hint came in time.
    pub forced_refreshes: u64,
    /// Data clock synchronisations (LPDDR5 CAS).
    pub cas_sync: u64,
    /// Reads whose row was open when their first command issued.
    pub read_row_hits: u64,
    /// Writes likewise.
    pub write_row_hits: u64,
    /// Requests that found their bank closed.
    pub row_misses: u64,
    /// Requests that found another row open.
    pub row_conflicts: u64,
    /// Clocks x scopes with at least one row open.
    pub active_clocks: u64,
    /// Clocks x scopes with all rows closed.
    pub precharged_clocks: u64,
    /// Clocks with data on the bus.
    pub data_clocks: u64,
}

impl Counters {
    /// Reads and writes that hit an open row.
    pub fn row_hits(&self) -> u64 {
        self.read_row_hits + self.write_row_hits
    }

    /// Adds another channel's counts.
    pub fn add(&mut self, other: &Counters) {
        let Counters {
            reads,
            writes,
            activates,
            precharges,
            precharge_alls,
            refreshes,
            bank_refreshes,
            forced_refreshes,
            cas_sync,
            read_row_hits,
            write_row_hits,
            row_misses,
            row_conflicts,
            active_clocks,
            precharged_clocks,
            data_clocks,
        } = other;
        self.reads += reads;
        self.writes += writes;
        self.activates += activates;
        self.precharges += precharges;
        self.precharge_alls += precharge_alls;
        self.refreshes += refreshes;
        self.bank_refreshes += bank_refreshes;
        self.forced_refreshes += forced_refreshes;
        self.cas_sync += cas_sync;
        self.read_row_hits += read_row_hits;
        self.write_row_hits += write_row_hits;
        self.row_misses += row_misses;
        self.row_conflicts += row_conflicts;
        self.active_clocks += active_clocks;
        self.precharged_clocks += precharged_clocks;
        self.data_clocks += data_clocks;
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Counters) -> Counters {
        Counters {
            reads: self.reads - earlier.reads,
            writes: self.writes - earlier.writes,
            activates: self.activates - earlier.activates,
            precharges: self.precharges - earlier.precharges,
            precharge_alls: self.precharge_alls - earlier.precharge_alls,
            refreshes: self.refreshes - earlier.refreshes,
            bank_refreshes: self.bank_refreshes - earlier.bank_refreshes,
            forced_refreshes: self.forced_refreshes - earlier.forced_refreshes,
            cas_sync: self.cas_sync - earlier.cas_sync,
            read_row_hits: self.read_row_hits - earlier.read_row_hits,
            write_row_hits: self.write_row_hits - earlier.write_row_hits,
            row_misses: self.row_misses - earlier.row_misses,
            row_conflicts: self.row_conflicts - earlier.row_conflicts,
            active_clocks: self.active_clocks - earlier.active_clocks,
            precharged_clocks: self.precharged_clocks - earlier.precharged_clocks,
            data_clocks: self.data_clocks - earlier.data_clocks,
        }
    }
}
