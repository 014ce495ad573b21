//! What the simulator does on this machine: one part a process, so that none finds the memory of
//! another. It prints rows of a table and asserts nothing. `cargo xtask bench sim` runs all parts.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench prints, reads the machine's clock, and ends where its world does not come up"
)]

mod client;
mod events;
mod history;
mod list;
mod machine;
mod memory;
mod objects;
mod watch;
mod world;

use std::process::ExitCode;

/// As the product has it: memory is measured too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The parts, by the names that `cargo xtask bench sim` has for them.
const PARTS: [(&str, fn()); 7] = [
    ("objects", objects::run),
    ("list", list::run),
    ("watch", watch::run),
    ("store", memory::store),
    ("memory", memory::run),
    ("events", events::run),
    ("history", history::run),
];

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let wanted = std::env::args().skip(1).find(|one| !one.starts_with("--"));
    let wanted = wanted.unwrap_or_default();
    let Some((_, part)) = PARTS.iter().find(|(name, _)| *name == wanted) else {
        let names = PARTS.map(|(name, _)| name).join(", ");
        println!("which part: {names}?");
        return ExitCode::FAILURE;
    };
    part();
    ExitCode::SUCCESS
}

/// Prints a row.
fn row(what: &str, measured: &str, goal: &str) {
    println!("| {what} | {measured} | {goal} |");
}

/// A whole number with its thousands apart.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is measured is positive and far below 2^64"
)]
fn whole(number: f64) -> String {
    let digits = (number.round() as u64).to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
