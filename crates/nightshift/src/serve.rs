//! The HTTP listener.

mod auth;
mod bounds;
pub mod incidents;
mod problem;

pub use auth::{Token, Tokens, Unsafe};
pub use problem::Problem;
#[derive(Clone)]
pub struct Api {
    store: crate::store::Store,
}
