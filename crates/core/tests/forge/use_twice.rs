//! A permit cannot be copied: whoever uses it gives it away.
use nightshift_core::guard::Permit;

fn act(_permit: Permit) {}

fn twice(permit: Permit) {
    act(permit);
    act(permit);
}

fn main() {}
