//! Everything listed once, without watches.

use super::fetch::chain;
use super::reader::{Page, Reader, seen};
use super::resource::{RESOURCES, Resource, Watched};
use futures::StreamExt as _;
use nightshift_core::diagnose::is_symptom;
use nightshift_core::ids::ClusterUid;
use nightshift_core::world::store::Change;
use nightshift_core::world::{Coverage, Object, Scope, Snapshot, Source, World};
use std::collections::BTreeMap;

/// Lists that run at once: enough to hide the waiting, few enough for API priority and fairness.
const PARALLEL: usize = 6;

/// What one list found.
pub(super) struct Found {
    source: Source,
    objects: Vec<Object>,
    /// When it was asked for, or why it failed.
    asked_at: Result<jiff::Timestamp, String>,
}

pub(super) async fn list_once<T: Watched>(reader: &Reader, resource: &'static Resource) -> Found {
    let mut objects = Vec::new();
    let take = |page: Page<T>| match page {
        Page::Begin => objects.clear(),
        Page::Items(items) => {
            let items = items.into_iter();
            objects.extend(items.map(|item| item.into_object(&resource.kind)));
        }
    };
    let listed = reader.list(resource.path, "", resource.form, take).await;
    Found {
        source: resource.source,
        objects,
        asked_at: listed
            .map(|listed| listed.asked_at)
            .map_err(|error| chain(&error)),
    }
}

/// One picture of everything. What could not be listed is blind, also where some pages came.
pub(super) async fn scan(reader: &Reader, cluster: ClusterUid) -> Snapshot {
    let mut world = World::new(cluster, is_symptom);
    let mut asked = BTreeMap::new();
    let all = RESOURCES.iter();
    let lists: Vec<_> = all.map(|found| (found.list)(reader, found)).collect();
    let mut lists = futures::stream::iter(lists).buffer_unordered(PARALLEL);
    while let Some(found) = lists.next().await {
        asked.insert(found.source, found.asked_at);
        let now = reader.now();
        for object in found.objects {
            world.apply(Change::Applied(object), now);
        }
    }
    let now = reader.now();
    let mut coverage: BTreeMap<Source, Coverage> = asked
        .into_iter()
        .map(|(source, asked_at)| match asked_at {
            Ok(asked_at) => (source, seen(now.duration_since(asked_at))),
            Err(why) => (source, Coverage::Blind { why }),
        })
        .collect();
    coverage.insert(Source::Clock, reader.clock_coverage(now));
    let mut snapshot = world.snapshot(&Scope::Cluster, now, coverage);
    snapshot.fresh = true;
    snapshot
}
