//! The demo: starts the real binary, feeds it, swaps its plugins, kills and restarts it, and
//! compares the result with `pricedrop simulate`. It needs no input.
//!
//! `pricedrop-demo PATH-TO-PRICEDROP`

mod acts;
mod market;
mod stage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(binary) = std::env::args_os().nth(1) else {
        eprintln!("usage: pricedrop-demo PATH-TO-PRICEDROP");
        return ExitCode::from(2);
    };
    match acts::play(binary.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("the demo stopped: {why}");
            ExitCode::FAILURE
        }
    }
}
