//! Eyes and hands.
