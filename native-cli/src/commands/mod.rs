//! The commands, one to a file.

mod check;
mod compact;
mod dump;
mod get;
mod headers;
mod info;
mod interrupt;
mod load;
mod run;
mod serve;
mod sim;
mod trace;

use clap::Subcommand;

use crate::exit::Outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Info(info::Info),
    Headers(headers::Headers),
    Dump(dump::Dump),
    Get(get::Get),
    Check(check::Check),
    Compact(compact::Compact),
    Load(load::Load),
    Run(run::Run),
    Sim(sim::Sim),
    Trace(trace::Trace),
    Serve(serve::Serve),
}

impl Command {
    pub(crate) fn run(&self) -> Outcome {
        match self {
            Command::Info(command) => command.run(),
            Command::Headers(command) => command.run(),
            Command::Dump(command) => command.run(),
            Command::Get(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Compact(command) => command.run(),
            Command::Load(command) => command.run(),
            Command::Run(command) => command.run(),
            Command::Sim(command) => command.run(),
            Command::Trace(command) => command.run(),
            Command::Serve(command) => command.run(),
        }
    }
}
