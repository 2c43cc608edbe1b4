//! The demo: the real binary, started, fed, swapped under, killed and restarted,
//! and at the end held against its offline twin. Non-interactive.
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
