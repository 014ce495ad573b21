//! A fresh look: the scope's own objects are read from the API server now and laid over what the
//! watches hold. What could not be read is blind; what was not part of the look keeps the age that
//! its watch gives it.

mod reads;

use super::Shared;
use super::fetch::{FetchError, chain};
use super::reader::seen;
use super::scan::scan;
use crate::clock::within;
use futures::future::{BoxFuture, join_all};
use jiff::Timestamp;
use nightshift_core::diagnose::is_symptom;
use nightshift_core::ids::{Digest, Uid};
use nightshift_core::world::store::Change;
use nightshift_core::world::{
    Coverage, GuardedNamespaces, Kind, LimitRange, Object, ObjectRef, ResourceQuota, Scope,
    Snapshot, Source, VerticalPodAutoscaler, World,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Owner chains are two or three long.
const MAX_CHAIN: usize = 8;

/// What one read brought.
enum Content {
    /// Objects that are, and those that were expected among them.
    Objects {
        found: Vec<Object>,
        expected: Vec<Object>,
    },
    /// The same for revisions, with the digests of their templates.
    Revisions {
        found: Vec<(Object, Digest)>,
        expected: Vec<Object>,
    },
    Quotas(Vec<ResourceQuota>),
    LimitRanges(Vec<LimitRange>),
    Scalers(Vec<VerticalPodAutoscaler>),
    Guarded(GuardedNamespaces),
}

/// One read that is under way.
struct Read<'a> {
    source: Source,
    asked_at: Timestamp,
    content: BoxFuture<'a, Result<Content, FetchError>>,
}

/// A look being put together.
struct Look<'a> {
    shared: &'a Shared,
    scope: &'a Scope,
    /// What is known of the scope so far.
    world: World,
    /// When each source was asked, or why it is blind.
    asked: BTreeMap<Source, Result<Timestamp, String>>,
    digests: BTreeMap<Uid, Digest>,
    /// Holds what the world has no room for.
    rest: Snapshot,
}

pub(super) async fn fresh(shared: &Shared, scope: &Scope) -> Snapshot {
    let Scope::Of(subject) = scope else {
        return scan(&shared.reader, shared.cluster.clone()).await;
    };
    let held = shared
        .world()
        .snapshot(scope, shared.reader.now(), BTreeMap::new());
    let mut look = Look::begin(shared, scope, &held);
    if subject.kind == Kind::Node {
        let reads = look.of_node(&held, subject);
        look.take_all(reads).await;
    } else {
        look.find_owner(subject).await;
        let now = shared.reader.now();
        let held = look.world.snapshot(scope, now, BTreeMap::new());
        let reads = look.of_owner(&held, subject);
        look.take_all(reads).await;
    }
    look.end()
}

impl<'a> Look<'a> {
    fn begin(shared: &'a Shared, scope: &'a Scope, held: &Snapshot) -> Self {
        let now = shared.reader.now();
        let mut world = World::new(shared.cluster.clone(), is_symptom);
        for object in held.objects() {
            world.apply(Change::Applied(object), now);
        }
        // The neighbours of the scope's pods are known from the watch alone.
        let sees_pods = matches!(
            shared.coverage(now).get(&Source::Pods),
            Some(Coverage::Seen { .. })
        );
        let neighbours = sees_pods.then(|| held.neighbours.clone());
        Self {
            shared,
            scope,
            world,
            asked: BTreeMap::new(),
            digests: BTreeMap::new(),
            rest: Snapshot {
                neighbours: neighbours.unwrap_or_default(),
                ..Snapshot::default()
            },
        }
    }

    /// Reads the subject and climbs from it, as far as the watches do not know the way (they are
    /// blind, or the object is newer than what they brought).
    async fn find_owner(&mut self, subject: &ObjectRef) {
        let mut wanted = subject.clone();
        for _ in 0..MAX_CHAIN {
            if self.world.find(&wanted).is_none() {
                let Some(read) = self.object(&wanted) else {
                    return;
                };
                self.take_all(vec![read]).await;
                if self.world.find(&wanted).is_none() {
                    return;
                }
            }
            wanted = self.world.topmost(subject);
            if self.world.find(&wanted).is_some() {
                return;
            }
        }
    }

    /// Carries out reads side by side and lays what they bring over what is known.
    async fn take_all(&mut self, reads: Vec<Read<'_>>) {
        let reader = &self.shared.reader;
        let limit = reader.limits.request;
        let reads = reads.into_iter().map(async |read| {
            let content = within(reader.clock.as_ref(), limit, read.content).await;
            let content = content.unwrap_or(Err(FetchError::NoAnswer(limit)));
            (read.source, read.asked_at, content)
        });
        for (source, asked_at, content) in join_all(reads).await {
            let asked = match content {
                Ok(content) => {
                    self.take(content);
                    Ok(asked_at)
                }
                Err(error) => Err(chain(&error)),
            };
            self.note(source, asked);
        }
    }

    /// Of several reads of one source the oldest counts, and a failed one makes it blind.
    fn note(&mut self, source: Source, asked: Result<Timestamp, String>) {
        let both = match (self.asked.remove(&source), asked) {
            (Some(Err(why)), _) | (_, Err(why)) => Err(why),
            (Some(Ok(one)), Ok(other)) => Ok(one.min(other)),
            (None, Ok(at)) => Ok(at),
        };
        self.asked.insert(source, both);
    }

    fn take(&mut self, content: Content) {
        match content {
            Content::Objects { found, expected } => self.overlay(found, expected),
            Content::Revisions { found, expected } => {
                let digests = found
                    .iter()
                    .map(|(o, digest)| (o.meta().uid.clone(), digest.clone()));
                self.digests.extend(digests);
                self.overlay(found.into_iter().map(|(object, _)| object), expected);
            }
            Content::Quotas(quotas) => self.rest.quotas = quotas,
            Content::LimitRanges(ranges) => self.rest.limit_ranges = ranges,
            Content::Scalers(scalers) => {
                self.rest.vpas = scalers.into_iter().map(Arc::new).collect();
            }
            Content::Guarded(guarded) => {
                let all = &mut self.rest.guarded_namespaces;
                all.webhooks.extend(guarded.webhooks);
                all.api_services.extend(guarded.api_services);
            }
        }
    }

    fn overlay(&mut self, found: impl IntoIterator<Item = Object>, expected: Vec<Object>) {
        let now = self.shared.reader.now();
        let mut uids = BTreeSet::new();
        for object in found {
            uids.insert(object.meta().uid.clone());
            self.world.apply(Change::Applied(object), now);
        }
        for object in expected {
            if !uids.contains(&object.meta().uid) {
                self.world.apply(Change::Deleted(object), now);
            }
        }
    }

    fn end(self) -> Snapshot {
        let now = self.shared.reader.now();
        let mut coverage = self.shared.coverage(now);
        coverage.extend(self.asked.into_iter().map(|(source, asked)| {
            let asked = asked.map(|at| seen(now.duration_since(at)));
            (source, asked.unwrap_or_else(|why| Coverage::Blind { why }))
        }));
        let mut snapshot = self.world.snapshot(self.scope, now, coverage);
        let revision = |uid: &Uid| {
            let revisions = &snapshot.controller_revisions;
            snapshot.workload(uid).is_some() || revisions.iter().any(|r| r.metadata.uid == *uid)
        };
        let digests = self.digests.into_iter();
        let digests = digests.filter(|(uid, _)| revision(uid)).collect();
        let Snapshot {
            quotas,
            limit_ranges,
            vpas,
            guarded_namespaces,
            neighbours,
            ..
        } = self.rest;
        snapshot.fresh = true;
        snapshot.template_digests = digests;
        snapshot.quotas = quotas;
        snapshot.limit_ranges = limit_ranges;
        snapshot.vpas = vpas;
        snapshot.guarded_namespaces = guarded_namespaces;
        snapshot.neighbours = neighbours;
        snapshot
    }
}
