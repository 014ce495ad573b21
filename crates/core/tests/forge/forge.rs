//! A permit cannot be put together by hand: its fields are private.
use nightshift_core::guard::Permit;
use nightshift_core::plan::Step;

fn forge(step: Step) -> Permit {
    Permit {
        id: "permit-1".into(),
        cluster: "cluster".into(),
        step,
        expires_at: "2026-01-05T10:00:00Z".parse().unwrap(),
        leader_epoch: 1,
    }
}

fn main() {}
