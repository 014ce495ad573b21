//! What the shell needs of one cluster.

use futures::future::BoxFuture;
use nightshift_core::guard::{Permit, Rehearsal};
use nightshift_core::history::ActOutcome;
use nightshift_core::ids::PermitId;
use nightshift_core::plan::Step;
use nightshift_core::world::{Coverage, ObjectRef, Scope, Snapshot, Source};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Eyes and hands of one cluster, as the shell sees them: one real implementation
/// ([`crate::app`]), and the worlds that tests make up.
pub trait Port: Debug + Send + Sync + 'static {
    /// Takes a snapshot. What could not be read is blind in it.
    fn observe(&self, scope: Scope, fresh: bool, logs: bool) -> BoxFuture<'_, Snapshot>;
    /// Sends the step's request with `dryRun=All`.
    fn rehearse(&self, step: Step) -> BoxFuture<'_, Rehearsal>;
    /// Writes. The permit is used up.
    fn act(&self, permit: Permit) -> BoxFuture<'_, ActOutcome>;
    /// Finds out whether a write without an answer happened.
    fn read_back(&self, permit: PermitId, step: Step) -> BoxFuture<'_, ActOutcome>;
    /// From now on any change under this owner is heard. Watching twice is watching once.
    fn watch(&self, owner: &ObjectRef);
    /// Ends [`Port::watch`].
    fn unwatch(&self, owner: &ObjectRef);
    /// How well each source is seen at this moment.
    fn coverage(&self) -> BTreeMap<Source, Coverage>;
}
