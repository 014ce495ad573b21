//! The queue from the eyes to the engine. It is bounded and loses nothing: news of one subject
//! collapse into one (the engine looks at the newest state anyway), and when the queue is full the
//! watches wait, which in turn slows the API server's sending down.

use super::Heard;
use nightshift_core::world::{ObjectRef, Source};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// News that wait to be taken.
const CAPACITY: usize = 4096;

/// What makes two news the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Subject(ObjectRef),
    KnownGood(ObjectRef),
    Source(Source),
}

fn key(heard: &Heard) -> Key {
    match heard {
        Heard::Subject { subject, .. } => Key::Subject(subject.clone()),
        Heard::KnownGood { revision, .. } => Key::KnownGood(revision.clone()),
        Heard::Blind { source, .. } | Heard::Sees { source } => Key::Source(*source),
    }
}

#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<Heard>,
    keys: BTreeSet<Key>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending end.
#[derive(Clone, Debug)]
pub(super) struct Sender(Arc<Shared>);

/// The receiving end: what the eyes heard.
#[derive(Debug)]
pub struct Hearing(Arc<Shared>);

pub(super) fn mailbox() -> (Sender, Hearing) {
    let shared = Arc::new(Shared::default());
    (Sender(Arc::clone(&shared)), Hearing(shared))
}

impl Sender {
    /// Queues a piece of news, waiting for room. News of the same thing replace the queued one but
    /// keep its place and its time; once the receiver is gone, news are dropped.
    pub(super) async fn send(&self, heard: Heard) {
        let key = key(&heard);
        loop {
            let emptied = self.0.emptied.notified();
            {
                let mut queue = self.0.lock();
                if queue.closed {
                    return;
                }
                if queue.keys.contains(&key) {
                    queue.replace(&key, heard);
                    return;
                }
                if queue.order.len() < CAPACITY {
                    queue.keys.insert(key);
                    queue.order.push_back(heard);
                    self.0.filled.notify_one();
                    return;
                }
            }
            emptied.await;
        }
    }

    /// Ends the receiver's waiting once the queue is empty.
    pub(super) fn close(&self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
        self.0.emptied.notify_waiters();
    }
}

impl Queue {
    /// The state of a source is its newest; the first time a subject was heard of is the one that
    /// counts.
    fn replace(&mut self, wanted: &Key, heard: Heard) {
        if matches!(wanted, Key::Source(_))
            && let Some(place) = self.order.iter_mut().find(|queued| key(queued) == *wanted)
        {
            *place = heard;
        }
    }
}

impl Hearing {
    /// The next piece of news; `None` once the eyes are stopped and everything was taken.
    pub async fn recv(&mut self) -> Option<Heard> {
        loop {
            let filled = self.0.filled.notified();
            {
                let mut queue = self.0.lock();
                if let Some(heard) = queue.order.pop_front() {
                    queue.keys.remove(&key(&heard));
                    self.0.emptied.notify_one();
                    return Some(heard);
                }
                if queue.closed {
                    return None;
                }
            }
            filled.await;
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.emptied.notify_waiters();
    }
}
