//! The `afterimage` command.

mod args;
mod compact_rate_arg;
mod demo;
mod doctor;
mod failure;
mod import;
mod inspect;
mod live;
mod manual;
mod output;
mod pin;
mod plan;
mod point_arg;
mod points;
mod price_table;
mod progress;
mod prune;
mod rate_arg;
mod read;
mod replicate;
mod requests;
mod restore;
mod signals;
mod size_arg;
mod tended;
mod time_arg;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Arguments, Command},
    failure::Failure,
    output::Output,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("AFTERIMAGE_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    let mut output = Output::new(arguments.json);
    match run(arguments.command, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Import(import) => import::run(&import, output),
        Command::Replicate(replicate) => replicate::run(&replicate, output),
        Command::Points(points) => points::run(&points, output),
        Command::Prune(arguments) => prune::run(&arguments, output),
        Command::Pin(arguments) => pin::run(&arguments, output),
        Command::Unpin(arguments) => pin::remove(&arguments, output),
        Command::Holds(arguments) => pin::list(&arguments, output),
        Command::Restore(restore) => restore::run(&restore, output),
        Command::Verify(verify) => verify::run(&verify, output),
        Command::Read(read) => read::run(&read, output),
        Command::Inspect(inspect) => {
            let text = inspect::inspect(&inspect.file, output.is_json(), inspect.rows)?;
            output.line(&text)
        }
        Command::Doctor(doctor) => doctor::run(&doctor, output),
        Command::Plan(arguments) => plan::run(&arguments, output),
        Command::Demo(demo) => demo::run(&demo, output),
        Command::Completions(completions) => manual::completions(&completions, output),
        Command::Man(man) => manual::man(&man, output),
    }
}
