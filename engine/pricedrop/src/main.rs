//! `pricedrop`: see [`pricedrop::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    pricedrop::cli::main()
}
