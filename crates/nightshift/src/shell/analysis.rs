//! Gathers what core's analysis is written from.

use crate::store::{Store, StoreError};
use jiff::Timestamp;
use nightshift_core::analysis::{self, MAX_PAST};
use nightshift_core::incident::Incident;
use nightshift_core::record::Entry;

/// The incident's analysis in Markdown: from the rows that are stored, the `new` ones that will be,
/// and the incidents that were like it.
pub(super) async fn write(
    store: &Store,
    incident: &Incident,
    new: Vec<(Timestamp, Entry)>,
) -> Result<String, StoreError> {
    let stored = store.incident(&incident.id).await?;
    let events = stored.into_iter().flat_map(|detail| detail.events);
    let rows: Vec<_> = events
        .map(|event| (event.at, event.entry))
        .chain(new)
        .collect();
    let limit = u32::try_from(MAX_PAST).unwrap_or(u32::MAX);
    let past = store.past_like(incident, limit).await?;
    Ok(analysis::write(incident, &rows, &past))
}
