//! The repository's own tools as a library: the lab, and whatever runs on it.

pub mod lab;
