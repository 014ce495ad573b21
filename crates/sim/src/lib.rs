//! A Kubernetes in memory: an API server, the main controllers, a scheduler and kubelets in one
//! process, that kubectl, client-go and kube-rs take for a Kubernetes.
//!
//! ```text
//! request -> api -> registry -> store -> changes -> controllers, scheduler, kubelets -> registry
//! ```
//!
//! One [`Cluster`] is one synchronous state machine. It has no clock and no threads: whoever owns it
//! says what time it is ([`Cluster::advance`]) and hands it requests. So virtual time needs no
//! sleeping, and the same seed gives the same history, byte for byte.
//!
//! This crate never depends on Nightshift's core, cluster or agent: a simulation written from the
//! same head as the detectors would agree only with itself.

pub mod admission;
pub mod api;
pub mod audit;
pub mod auth;
mod base64;
pub mod behaviour;
pub mod cluster;
pub mod controllers;
mod custom;
pub mod defaults;
pub mod events;
pub mod kubelet;
pub mod load;
mod lookup;
pub mod nodes;
pub mod object;
pub mod pace;
pub mod patch;
mod pod_spec;
pub mod quantity;
pub mod registry;
pub mod resources;
pub mod scheduler;
mod schema;
pub mod selector;
pub mod server;
pub mod status;
pub mod store;
pub mod validate;

pub use cluster::Cluster;
pub use object::{Key, Meta, Object, OwnerReference};
pub use pace::{Pace, Speed};
pub use resources::{Resource, ResourceId};
pub use server::{Server, Time};
pub use status::{Reason, Status};
pub use store::Store;
