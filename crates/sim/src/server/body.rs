//! Bodies that go on for a while.

use super::Server;
use crate::api::{Follow, List, Next, Watch};
use axum::body::{Body, Bytes};
use futures::stream;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

/// Between two bookmarks (`bookmarkFrequency` of the watch cache).
const BOOKMARKS: Duration = Duration::from_mins(1);
/// The last bookmark comes so long before the end.
const BEFORE_END: Duration = Duration::from_secs(2);

/// A long list as a body: a piece is written when the one before it is sent.
pub(super) fn list(list: List) -> Body {
    Body::from_stream(stream::iter(list.map(Ok::<Bytes, Infallible>)))
}

struct Running {
    server: Server,
    watch: Watch,
    changed: Receiver<u64>,
    end: Instant,
    bookmark: Instant,
}

/// A watch as a body: asked only when the client has read what came before.
pub(super) fn watch(server: Server, watch: Watch) -> Body {
    let now = Instant::now();
    let end = now + watch.timeout;
    let running = Running {
        changed: server.shared.revision.subscribe(),
        server,
        bookmark: next_bookmark(now, end),
        end,
        watch,
    };
    Body::from_stream(stream::unfold(running, |mut running| async move {
        let bytes = running.next().await?;
        Some((Ok::<Bytes, Infallible>(bytes), running))
    }))
}

/// Between two looks at a log that is followed: its lines are computed, and no change tells of them.
const LOOKS: Duration = Duration::from_millis(200);

/// A log that is followed as a body.
pub(super) fn follow(server: Server, follow: Follow) -> Body {
    Body::from_stream(stream::unfold(
        (server, follow),
        |(server, mut follow)| async move {
            loop {
                match server.with(|cluster| follow.next(cluster)) {
                    Next::Events(bytes) => {
                        return Some((Ok::<Bytes, Infallible>(bytes), (server, follow)));
                    }
                    Next::End => return None,
                    Next::Wait => {}
                }
                tokio::select! {
                    () = server.shared.stop.cancelled() => return None,
                    () = tokio::time::sleep(LOOKS) => {}
                }
            }
        },
    ))
}

/// Each minute, and once shortly before the end.
fn next_bookmark(now: Instant, end: Instant) -> Instant {
    let usual = now + BOOKMARKS;
    let last = end.checked_sub(BEFORE_END).filter(|last| *last > now);
    last.map_or(usual, |last| usual.min(last))
}

impl Running {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // Marked as seen before the look, so that no change falls between.
            self.changed.borrow_and_update();
            let next = {
                let mut world = self.server.lock();
                let world = &mut *world;
                self.watch.next(&world.cluster, &mut world.cache)
            };
            match next {
                Next::Events(bytes) => return Some(bytes),
                Next::End => return None,
                Next::Wait => {}
            }
            let bookmark = if self.watch.bookmarks {
                self.bookmark
            } else {
                self.end
            };
            tokio::select! {
                () = self.server.shared.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.end) => return None,
                () = tokio::time::sleep_until(bookmark) => {
                    let now = Instant::now();
                    if now >= self.end {
                        return None;
                    }
                    self.bookmark = next_bookmark(now, self.end);
                    let world = self.server.lock();
                    return Some(self.watch.bookmark(&world.cluster, false).into());
                }
                changed = self.changed.changed() => changed.ok()?,
            }
        }
    }
}
