//! Judging takes no gate list: neither the trait nor the list can be reached.
use nightshift_core::guard::gates::{GATES, Gate};
use nightshift_core::guard::{Scene, judge};

fn permit_with_no_gates(scene: &Scene<'_>) {
    let mine: &[&dyn Gate] = &[];
    let _permit = judge(scene, 1, mine);
}

fn main() {}
