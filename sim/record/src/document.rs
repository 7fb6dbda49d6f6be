//! The text of `docs/counters.md`, from the tables.

use std::fmt::Write;

use crate::counters::COUNTERS;
use crate::energy::{LINES, PURPOSES};
use crate::glossary::COLUMNS;
use crate::record::DramBytesByClass;
use crate::units::{Cause, UnitKind};

pub(crate) fn counters_markdown() -> String {
    let mut out = String::from(
        "# Counters, stall causes, energy lines, columns\n\n\
         Generated from the tables in `sim/record`; do not edit. `lutsim explain NAME` looks a name up.\n\n\
         ## Event counters\n\n\
         Integers, per phase under `events` in the record. A counter is added to where the event happens; energy\n\
         is multiplied once, after the run.\n\n\
         | part | counter | unit | what is counted |\n|---|---|---|---|\n",
    );
    for row in COUNTERS {
        let _ = writeln!(out, "| {} | `{}` | {} | {} |", row.part, row.name, row.unit.name(), row.doc);
    }
    out.push_str(
        "\n## DRAM bytes by class\n\n\
         Both directions; the sum is bursts times burst size, to the byte.\n\n\
         | class | what it is |\n|---|---|\n",
    );
    for (name, doc) in DramBytesByClass::CLASSES {
        let _ = writeln!(out, "| `{name}` | {doc} |");
    }
    out.push_str(
        "\n## Units\n\n\
         Every cycle of every unit is busy or has exactly one cause: the first of the list that holds. There is no\n\
         `other`; busy and causes sum to the cycles that passed in the unit's clock.\n\n\
         | unit | clock | busy means | causes, highest priority first |\n|---|---|---|---|\n",
    );
    for kind in UnitKind::ALL {
        let row = kind.row();
        let causes: Vec<_> = row.causes.iter().map(|c| format!("`{}`", c.name())).collect();
        let name = if *kind == UnitKind::Dram { "dram.N" } else { row.name };
        let _ = writeln!(out, "| `{name}` | {} | {} | {} |", row.clock, row.busy, causes.join(" "));
    }
    out.push_str("\n## Stall causes\n\n| cause | what it means |\n|---|---|\n");
    for cause in Cause::ALL {
        let _ = writeln!(out, "| `{}` | {} |", cause.name(), cause.doc());
    }
    out.push_str(
        "\n## Energy lines\n\n\
         `component += counter * entry`. Boundary: `chip` is the accelerator, `dram_device` the memory dies,\n\
         `interface` the pins on both sides; the host SoC is outside. A missing entry is an error.\n\n\
         | component | boundary | purpose | technology entry | counter |\n|---|---|---|---|---|\n",
    );
    for line in LINES {
        let boundary = line.boundary.name();
        let _ = writeln!(
            out,
            "| {} | {boundary} | {} | `{}` | `{}` |",
            line.component, line.purpose, line.entry, line.event
        );
    }
    out.push_str("\n## Purposes of energy\n\n| purpose | what it is |\n|---|---|\n");
    for (name, doc) in PURPOSES {
        let _ = writeln!(out, "| `{name}` | {doc} |");
    }
    out.push_str(
        "\n## Keys and columns\n\n\
         Of the record, and of the tables beside it. A key that is a band has its low and high value beside it, `_low` and\n\
         `_high`.\n\n| where | name | unit | what it says |\n|---|---|---|---|\n",
    );
    for (kind, table) in COLUMNS {
        for column in *table {
            let _ = writeln!(out, "| {kind} | `{}` | {} | {} |", column.name, column.unit, column.doc);
        }
    }
    out
}
