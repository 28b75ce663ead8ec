//! Completion scripts and manual pages.

use clap::CommandFactory;

use crate::{
    args::{Arguments, Completions, Man},
    failure::Failure,
    output::Output,
};

pub(crate) fn completions(arguments: &Completions, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "afterimage",
        &mut script,
    );
    output.bytes(&script)
}

pub(crate) fn man(arguments: &Man, output: &mut Output) -> Result<(), Failure> {
    let dir = arguments.dir.display();
    let failed = |error| Failure::invalid(format!("{dir} cannot be written: {error}"));
    std::fs::create_dir_all(&arguments.dir).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), &arguments.dir).map_err(failed)?;
    output.note(&format!("manual pages are in {dir}"))
}
