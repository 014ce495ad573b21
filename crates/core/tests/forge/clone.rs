//! A permit cannot be cloned.
use nightshift_core::guard::Permit;

fn clone(permit: &Permit) -> Permit {
    permit.clone()
}

fn main() {}
