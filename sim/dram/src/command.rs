//! The commands a channel's command bus can carry, one list for every standard.

/// A DRAM command. A standard uses a subset; its constraint table speaks of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Command {
    /// Open a row (ACT, or the first half ACT1 of a split activate).
    Activate,
    /// Second half of a split activate (LPDDR5 ACT2); the row is open after it.
    Activate2,
    /// Close the open row of one bank.
    Precharge,
    /// Close every row of a refresh scope.
    PrechargeAll,
    /// Read one burst.
    Read,
    /// Write one burst.
    Write,
    /// Read one burst, then close the row.
    ReadPrecharge,
    /// Write one burst, then close the row.
    WritePrecharge,
    /// Refresh all banks of a refresh scope.
    RefreshAll,
    /// Refresh one bank.
    RefreshBank,
    /// Synchronise the data clock before a read (LPDDR5 CAS).
    CasRead,
    /// Synchronise the data clock before a write (LPDDR5 CAS).
    CasWrite,
    /// Refresh management of a refresh scope; in tables only, no controller issues it.
    ManageAll,
    /// Refresh management of one bank; in tables only.
    ManageBank,
    /// All ranks enter self-refresh.
    SelfRefreshEnter,
    /// All ranks leave self-refresh.
    SelfRefreshExit,
}

/// Number of commands.
pub(crate) const COMMANDS: usize = 16;

impl Command {
    /// Every command, in order of its number.
    pub const ALL: [Command; COMMANDS] = [
        Command::Activate,
        Command::Activate2,
        Command::Precharge,
        Command::PrechargeAll,
        Command::Read,
        Command::Write,
        Command::ReadPrecharge,
        Command::WritePrecharge,
        Command::RefreshAll,
        Command::RefreshBank,
        Command::CasRead,
        Command::CasWrite,
        Command::ManageAll,
        Command::ManageBank,
        Command::SelfRefreshEnter,
        Command::SelfRefreshExit,
    ];

    /// The command's name in our tables and traces.
    pub fn name(self) -> &'static str {
        match self {
            Command::Activate => "ACT",
            Command::Activate2 => "ACT2",
            Command::Precharge => "PREpb",
            Command::PrechargeAll => "PREab",
            Command::Read => "RD",
            Command::Write => "WR",
            Command::ReadPrecharge => "RDA",
            Command::WritePrecharge => "WRA",
            Command::RefreshAll => "REFab",
            Command::RefreshBank => "REFpb",
            Command::CasRead => "CAS_RD",
            Command::CasWrite => "CAS_WR",
            Command::ManageAll => "RFMab",
            Command::ManageBank => "RFMpb",
            Command::SelfRefreshEnter => "SRE",
            Command::SelfRefreshExit => "SRX",
        }
    }

    /// Reads a command's name; `ACT1` and the spelled-out names of DRAMsim3 traces are accepted too.
    pub fn from_name(name: &str) -> Option<Command> {
        Some(match name {
            "ACT1" | "activate" => Command::Activate,
            "precharge" => Command::Precharge,
            "read" => Command::Read,
            "write" => Command::Write,
            "refresh" => Command::RefreshAll,
            _ => return Command::ALL.into_iter().find(|c| c.name() == name),
        })
    }

    /// A read or a write of data.
    pub fn is_column(self) -> bool {
        matches!(self, Command::Read | Command::Write | Command::ReadPrecharge | Command::WritePrecharge)
    }

    /// Addressed to a whole refresh scope instead of one bank.
    pub fn is_scope(self) -> bool {
        matches!(self, Command::PrechargeAll | Command::RefreshAll | Command::ManageAll)
    }

    /// Addressed to the whole channel.
    pub fn is_channel(self) -> bool {
        matches!(self, Command::SelfRefreshEnter | Command::SelfRefreshExit)
    }

    pub(crate) fn bit(self) -> u16 {
        1 << self as u16
    }
}
