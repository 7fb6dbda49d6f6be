//! `lutsim completions` and `lutsim man`: both from the parser itself.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use lutsim_sim::chip_file::near_miss;

use crate::cli::Cli;
use crate::failure::{Failure, UserError};
use crate::output::{self, OutDir};

/// Print a script that completes lutsim's commands and flags in a shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "lutsim", &mut script);
        output::print(&String::from_utf8_lossy(&script))
    }
}

/// Print the manual page of lutsim or of one of its commands; `lutsim man run | man -l -` shows it.
#[derive(Debug, Args)]
pub struct Man {
    /// The command; lutsim itself if left out
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Option<String>,
    /// Write a page for lutsim and one for each command to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let mut whole = Cli::command();
        whole.build();
        let commands: Vec<clap::Command> =
            whole.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").cloned().collect();
        if let Some(folder) = &self.out {
            let mut pages = vec![("lutsim.1".to_owned(), page(whole)?)];
            for command in commands {
                pages.push((format!("lutsim-{}.1", command.get_name()), page(command)?));
            }
            let files: Vec<(&str, String)> = pages.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
            return OutDir::prepare(folder)?.commit(&files);
        }
        let Some(name) = &self.command else { return output::print(&page(whole)?) };
        match commands.iter().find(|c| c.get_name() == name) {
            Some(command) => output::print(&page(command.clone())?),
            None => {
                let names: Vec<&str> = commands.iter().map(clap::Command::get_name).collect();
                let near = near_miss(name, names.iter().copied());
                let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
                let help = format!("{near}there are {}", names.join(", "));
                Err(UserError::Unknown { what: "command".into(), name: name.clone(), help }.into())
            }
        }
    }
}

/// The page in roff; without a date, so that the same version gives the same bytes.
fn page(command: clap::Command) -> Result<String, Failure> {
    // `lutsim run` in the text, `lutsim-run` as the page's name: what man pages of subcommands are called.
    let name = command.get_bin_name().unwrap_or("lutsim").replace(' ', "-");
    let mut roff = Vec::new();
    clap_mangen::Man::new(command.display_name(name))
        .render(&mut roff)
        .map_err(|e| UserError::Write { path: "man page".into(), why: e.to_string() })?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}
