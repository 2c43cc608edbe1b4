//! `pricedrop`: see [`pricedrop::execute`].

use std::process::ExitCode;

/// Deliveries allocate and free many small strings on several threads, where the C
/// library's allocator takes locks and merges free blocks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pricedrop::execute::main()
}
