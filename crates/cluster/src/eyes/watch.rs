//! Keeps one resource in the picture: lists it, watches from there, and comes back from whatever
//! ends a watch.

use super::Shared;
use super::backoff::Backoff;
use super::fetch::{FetchError, chain};
use super::reader::{Page, encoded};
use super::resource::{Resource, Watched};
use crate::clock::within;
use futures::StreamExt as _;
use futures::future::{Either, select};
use http::{Request, header};
use kube::core::WatchEvent;
use nightshift_core::world::ObjectRef;
use nightshift_core::world::store::Change;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A watch is ended by the server after this many seconds, to twice as many (as client-go does), so
/// that load spreads over API servers again.
const LIFETIME: u32 = 300;

/// Status of a version that is no longer kept.
const GONE: u16 = 410;

/// How a watch ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The stream ended or broke: go on where it stopped. Fruitful: something had come.
    Closed { fruitful: bool },
    /// Nothing came for too long.
    Silent,
    /// It could not be opened, or the server reports an error.
    Failed(String),
    /// Going on where it stopped is impossible.
    Relist,
}

/// Runs for ever; dropped when the eyes are stopped.
pub(super) async fn watch<T: Watched>(shared: Arc<Shared>, resource: &'static Resource) {
    let mut backoff = Backoff::default();
    loop {
        match relist::<T>(&shared, resource).await {
            Ok(version) => follow::<T>(&shared, resource, version, &mut backoff).await,
            Err(error) => shared.blind(resource, &chain(&error)).await,
        }
        shared.reader.clock.sleep(backoff.next()).await;
    }
}

/// Takes a complete list into the picture, page by page, and drops what is not in it.
async fn relist<T: Watched>(
    shared: &Shared,
    resource: &'static Resource,
) -> Result<String, FetchError> {
    let mut uids = BTreeSet::new();
    let mut told: BTreeSet<ObjectRef> = BTreeSet::new();
    let take = |page: Page<T>| match page {
        Page::Begin => uids.clear(),
        Page::Items(items) => {
            let now = shared.reader.now();
            let mut world = shared.world();
            for item in items {
                uids.insert(item.meta().uid.clone());
                let object = item.into_object(&resource.kind);
                told.extend(world.apply(Change::Applied(object), now));
            }
        }
    };
    let list = shared.reader.list(resource.path, "", resource.form, take);
    let listed = list.await;
    if listed.is_ok() {
        told.extend(shared.world().sweep(&resource.kind, &uids));
    }
    shared.tell(told).await;
    let listed = listed?;
    shared.sights().listed(resource.source);
    shared.heard(resource, listed.asked_at).await;
    Ok(listed.version)
}

/// Watches until only a new list helps.
async fn follow<T: Watched>(
    shared: &Shared,
    resource: &'static Resource,
    mut version: String,
    backoff: &mut Backoff,
) {
    loop {
        match stream::<T>(shared, resource, &mut version).await {
            End::Closed { fruitful: true } => {
                backoff.reset();
                continue;
            }
            End::Silent if probe(shared, resource).await => continue,
            End::Closed { fruitful: false } | End::Silent => {}
            End::Failed(why) => shared.blind(resource, &why).await,
            End::Relist => return,
        }
        shared.reader.clock.sleep(backoff.next()).await;
    }
}

/// Asks for one object. No answer: blind, until the watch can be opened again.
async fn probe(shared: &Shared, resource: &'static Resource) -> bool {
    let path = format!("{}?limit=1", resource.path);
    let limit = shared.reader.limits.probe;
    let answer = shared.reader.get(&path, resource.form.of_list(), limit);
    match answer.await {
        Ok(_) => true,
        Err(error) => {
            let silence = shared.reader.limits.silence.as_secs();
            let why = format!(
                "silent for {silence} s, and the probe failed: {}",
                chain(&error)
            );
            shared.blind(resource, &why).await;
            false
        }
    }
}

/// One watch, from `version` on, which moves with what comes.
async fn stream<T: Watched>(
    shared: &Shared,
    resource: &'static Resource,
    version: &mut String,
) -> End {
    let reader = &shared.reader;
    let Ok(request) = request(resource, version) else {
        return End::Relist;
    };
    let opening = reader.client.request_events::<T>(request);
    let events = match within(reader.clock.as_ref(), reader.limits.probe, opening).await {
        Some(Ok(events)) => events,
        Some(Err(error)) => return failed(&error),
        None => return End::Failed(chain(&FetchError::NoAnswer(reader.limits.probe))),
    };
    shared.heard(resource, reader.now()).await;
    let mut events = pin!(events);
    let mut fruitful = false;
    let mut alarm = reader.clock.sleep(reader.limits.silence);
    loop {
        match select(events.next(), &mut alarm).await {
            Either::Left((None, _)) => return End::Closed { fruitful },
            Either::Left((Some(Err(error)), _)) => return broken(&error, fruitful),
            Either::Left((Some(Ok(event)), _)) => {
                if let Some(end) = take(shared, resource, event, version).await {
                    return end;
                }
                fruitful = true;
            }
            Either::Right(((), _)) => match patience(shared, resource) {
                None => return End::Silent,
                Some(left) => alarm = reader.clock.sleep(left),
            },
        }
    }
}

/// How much longer to wait for anything. The alarm is not set anew with every event: when it goes
/// off, the time of the last one counts.
fn patience(shared: &Shared, resource: &Resource) -> Option<Duration> {
    let silence = shared.reader.limits.silence;
    let heard = shared.sights().last_heard(resource.source)?;
    let silent = shared.reader.now().duration_since(heard).unsigned_abs();
    let left = silence.saturating_sub(silent);
    (!left.is_zero()).then_some(left)
}

/// Takes one event into the picture. Returns how the watch ends, if it does.
async fn take<T: Watched>(
    shared: &Shared,
    resource: &'static Resource,
    event: WatchEvent<T>,
    version: &mut String,
) -> Option<End> {
    let now = shared.reader.now();
    let told = match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
            version.clone_from(&object.meta().resource_version);
            let change = Change::Applied(object.into_object(&resource.kind));
            shared.world().apply(change, now)
        }
        WatchEvent::Deleted(object) => {
            version.clone_from(&object.meta().resource_version);
            let change = Change::Deleted(object.into_object(&resource.kind));
            shared.world().apply(change, now)
        }
        WatchEvent::Bookmark(bookmark) => {
            *version = bookmark.metadata.resource_version;
            BTreeSet::new()
        }
        WatchEvent::Error(status) => return Some(refused(status.code, &status.message)),
    };
    shared.heard(resource, now).await;
    shared.tell(told).await;
    None
}

/// A stream that breaks off in the middle (a lost connection) is taken up again at once; only if
/// that fails is the source blind.
fn broken(error: &kube::Error, fruitful: bool) -> End {
    match failed(error) {
        End::Failed(why) if !matches!(error, kube::Error::Api(_)) => {
            tracing::debug!(why, "a watch broke off");
            End::Closed { fruitful }
        }
        end => end,
    }
}

fn failed(error: &kube::Error) -> End {
    match error {
        kube::Error::Api(status) => refused(status.code, &status.message),
        // An object that cannot be decoded would come again from here: a list steps over it, or
        // fails and makes the source blind.
        kube::Error::SerdeError(_) => End::Relist,
        other => End::Failed(chain(other)),
    }
}

fn refused(code: u16, message: &str) -> End {
    if code == GONE {
        End::Relist
    } else {
        End::Failed(format!("{code} {message}"))
    }
}

fn request(resource: &Resource, version: &str) -> Result<Request<Vec<u8>>, http::Error> {
    let lifetime = rand::random_range(LIFETIME..=2 * LIFETIME);
    let path = format!(
        "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={lifetime}&resourceVersion={}",
        resource.path,
        encoded(version)
    );
    Request::get(path)
        .header(header::ACCEPT, resource.form.of_watch())
        .body(Vec::new())
}
