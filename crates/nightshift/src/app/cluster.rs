//! One real cluster: eyes and hands as the shell's port.

use crate::config::Config;
use crate::shell::Port;
use futures::future::BoxFuture;
use nightshift_cluster::{Clients, Clock, Eyes, Hands, Hearing, Limits};
use nightshift_core::guard::{Permit, Rehearsal};
use nightshift_core::history::ActOutcome;
use nightshift_core::ids::{ClusterUid, PermitId};
use nightshift_core::plan::Step;
use nightshift_core::world::{Coverage, ObjectRef, Scope, Snapshot, Source};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Cluster {
    eyes: Eyes,
    hands: Hands,
    clock: Arc<dyn Clock>,
}

impl Cluster {
    pub(super) fn open(
        clients: Clients,
        uid: ClusterUid,
        clock: Arc<dyn Clock>,
        config: &Config,
    ) -> (Self, Hearing) {
        let limits = Limits {
            silence: Duration::try_from(config.source_silence).unwrap_or_default(),
            known_good_after: config.known_good_after,
            ..Limits::default()
        };
        let (eyes, hearing) = Eyes::start(clients.read, uid.clone(), Arc::clone(&clock), limits);
        let hands = Hands::new(clients.write, uid);
        (Self { eyes, hands, clock }, hearing)
    }

    pub(super) async fn close(&self) {
        self.eyes.stop().await;
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")
    }
}

impl Port for Cluster {
    fn observe(&self, scope: Scope, fresh: bool, logs: bool) -> BoxFuture<'_, Snapshot> {
        Box::pin(async move { self.eyes.observe(&scope, fresh, logs).await })
    }

    fn rehearse(&self, step: Step) -> BoxFuture<'_, Rehearsal> {
        Box::pin(async move { self.hands.rehearse(&step).await })
    }

    fn act(&self, permit: Permit) -> BoxFuture<'_, ActOutcome> {
        Box::pin(self.hands.act(permit, self.clock.now()))
    }

    fn read_back(&self, permit: PermitId, step: Step) -> BoxFuture<'_, ActOutcome> {
        Box::pin(async move { self.hands.read_back(&permit, &step).await })
    }

    fn watch(&self, owner: &ObjectRef) {
        self.eyes.watch_owner(owner.clone());
    }

    fn unwatch(&self, owner: &ObjectRef) {
        self.eyes.unwatch(owner);
    }

    fn coverage(&self) -> BTreeMap<Source, Coverage> {
        self.eyes.coverage()
    }
}
