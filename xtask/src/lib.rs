//! The repository's own tools as a library: the lab, and whatever runs on it.

pub mod agent;
pub mod audit;
pub mod bench;
pub mod check;
pub mod demo;
pub mod faults;
pub mod fidelity;
pub mod lab;
pub mod layers;
pub mod schema;
pub mod sizes;
pub mod stories;
