//! The listener in process, over a real engine and a real store, without a cluster.
