//! A permit cannot be turned into one for another step.
use nightshift_core::guard::Permit;
use nightshift_core::plan::Step;

fn change(permit: &mut Permit, step: Step) {
    permit.step = step;
}

fn main() {}
