//! Eyes and hands: the only code that talks to a Kubernetes API server.

pub mod failpoint;
pub mod template;

pub use template::template_digest;
