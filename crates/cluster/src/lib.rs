//! Eyes and hands: the only code that talks to a Kubernetes API server.

pub mod checkup;
pub mod client;
pub mod clock;
pub mod eyes;
pub mod failpoint;
pub mod hands;
pub mod rbac;
mod read_only;
pub mod template;

pub use client::{Clients, ConnectError, connect};
pub use clock::{Clock, SystemClock, within};
pub use eyes::{Eyes, Heard, Hearing, Limits};
pub use hands::Hands;
pub use template::template_digest;
