//! The `nightshift` binary.

use nightshift_cluster::SystemClock;
use std::process::ExitCode;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    nightshift::cli::run(Arc::new(SystemClock::default()))
        .await
        .into()
}
