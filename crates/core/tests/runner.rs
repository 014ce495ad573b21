//! Invariant 1: only the guard makes permits. What must not compile, and what must not be there.

use nightshift_core::guard::Permit;
use nightshift_core::plan::Step;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

#[test]
fn a_permit_cannot_be_forged_cloned_copied_read_or_had_by_a_gate_list_of_ones_own() {
    trybuild::TestCases::new().compile_fail("tests/forge/*.rs");
}

/// `CLONE` and `READ` of a type that has the trait are the inherent ones, else the trait's.
struct Has<T>(PhantomData<T>);

trait Not {
    const CLONE: bool = false;
    const READ: bool = false;
}

impl<T> Not for Has<T> {}

impl<T: Clone> Has<T> {
    const CLONE: bool = true;
}

impl<T: DeserializeOwned> Has<T> {
    const READ: bool = true;
}

#[test]
fn a_permit_is_neither_clone_nor_deserialize_and_the_probe_can_tell() {
    assert_eq!([Has::<Step>::CLONE, Has::<Step>::READ], [true; 2]);
    assert_eq!([Has::<Permit>::CLONE, Has::<Permit>::READ], [false; 2]);
}
