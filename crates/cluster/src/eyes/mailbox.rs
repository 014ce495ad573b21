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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use jiff::Timestamp;

    fn subject(name: &str, second: i64) -> Heard {
        let subject = ObjectRef {
            name: name.to_owned(),
            ..ObjectRef::default()
        };
        let at = Timestamp::from_second(second).unwrap();
        Heard::Subject { subject, at }
    }

    #[tokio::test]
    async fn news_of_one_subject_collapse_and_keep_the_first_time_and_place() {
        let (sender, mut hearing) = mailbox();
        for heard in [subject("a", 1), subject("b", 2), subject("a", 3)] {
            sender.send(heard).await;
        }
        sender.close();
        assert_eq!(hearing.recv().await, Some(subject("a", 1)));
        assert_eq!(hearing.recv().await, Some(subject("b", 2)));
        assert_eq!(hearing.recv().await, None);
    }

    #[tokio::test]
    async fn of_a_source_only_its_newest_state_is_told() {
        let (sender, mut hearing) = mailbox();
        let source = Source::Pods;
        let why = String::new();
        sender.send(Heard::Blind { source, why }).await;
        sender.send(Heard::Sees { source }).await;
        assert_eq!(hearing.recv().await, Some(Heard::Sees { source }));
        assert_eq!(hearing.recv().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_sender_wait_and_loses_nothing() {
        let (sender, mut hearing) = mailbox();
        for number in 0..CAPACITY {
            sender.send(subject(&number.to_string(), 0)).await;
        }
        let mut late = Box::pin(sender.send(subject("late", 0)));
        assert_eq!((&mut late).now_or_never(), None, "it waits");
        assert_eq!(hearing.recv().await, Some(subject("0", 0)));
        late.await;
        sender.close();
        let mut last = None;
        while let Some(heard) = hearing.recv().await {
            last = Some(heard);
        }
        assert_eq!(last, Some(subject("late", 0)));
    }

    #[tokio::test]
    async fn without_a_receiver_nobody_waits() {
        let (sender, hearing) = mailbox();
        for number in 0..CAPACITY {
            sender.send(subject(&number.to_string(), 0)).await;
        }
        let late = sender.send(subject("late", 0));
        drop(hearing);
        late.await;
    }
}
