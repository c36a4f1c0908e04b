//! Tollgate's program: read the command line, let `app` do the rest.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tollgate::app::run(tollgate::app::cli::Cli::parse())
}
