//! Places where a crash test may kill the agent. Without the feature `failpoints` they are nothing.
//!
//! In order of a write: `before_intent`, `after_intent` (the shell's), `before_send`,
//! `after_commit_answer_lost`, `before_result` (the hands').
//!
//! A test that runs the agent as a program names one in `NIGHTSHIFT_FAILPOINT`, and the program aborts
//! there. A test that holds the agent in its own process sets a `Trap` on the agent's threads: what
//! comes to the place stays there for ever, and the test kills the rest.

#[cfg(feature = "failpoints")]
pub use armed::{Trap, failpoint};

/// Nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
pub const fn failpoint(_name: &str) {}

#[cfg(feature = "failpoints")]
mod armed {
    use std::cell::RefCell;
    use std::sync::Arc;
    use tokio::sync::watch;

    thread_local! {
        static TRAP: RefCell<Option<Arc<Trap>>> = const { RefCell::new(None) };
    }

    /// One place at which a thread stops and never goes on, as a killed one would not.
    #[derive(Debug)]
    pub struct Trap {
        name: &'static str,
        sprung: watch::Sender<bool>,
    }

    impl Trap {
        /// A trap at the failpoint of that name.
        pub fn at(name: &'static str) -> Arc<Self> {
            let (sprung, _) = watch::channel(false);
            Arc::new(Self { name, sprung })
        }

        /// Sets it on the thread that calls this (`on_thread_start` of the agent's runtime).
        pub fn set(self: Arc<Self>) {
            TRAP.set(Some(self));
        }

        /// Waits until a thread stands in it.
        pub async fn sprung(&self) {
            let mut sprung = self.sprung.subscribe();
            // No error comes: the sender is this trap's own.
            drop(sprung.wait_for(|sprung| *sprung).await);
        }

        fn spring(&self) -> ! {
            self.sprung.send_replace(true);
            loop {
                std::thread::park();
            }
        }
    }

    /// Aborts the process when the environment variable `NIGHTSHIFT_FAILPOINT` holds this name: no
    /// destructor runs, as with a kill. Stops the thread when a [`Trap`] of this name is set on it.
    pub fn failpoint(name: &str) {
        if std::env::var("NIGHTSHIFT_FAILPOINT").is_ok_and(|wanted| wanted == name) {
            std::process::abort();
        }
        let trap = TRAP.with_borrow(|trap| trap.clone().filter(|trap| trap.name == name));
        if let Some(trap) = trap {
            trap.spring();
        }
    }
}
