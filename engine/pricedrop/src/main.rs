//! The `pricedrop` binary: see [`pricedrop::execute`].

use std::process::ExitCode;

/// Deliveries allocate and free many small strings on several threads. The allocator of
/// the C library takes locks and merges free blocks on that path.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pricedrop::execute::main()
}
