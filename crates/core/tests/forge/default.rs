//! There is no permit out of nothing.
use nightshift_core::guard::Permit;

fn main() {
    let _permit = Permit::default();
}
