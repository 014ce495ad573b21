//! What has to be done from time to time, whatever is heard.

use super::{Heard, Shared};
use nightshift_core::world::{Coverage, Source};
use std::sync::Arc;
use std::time::Duration;

/// How often the picture is gone through: a tenth of this precision would do for ten minutes.
const ROUND: Duration = Duration::from_secs(5);

/// Reports known good revisions and drops old events.
pub(super) async fn house(shared: Arc<Shared>) {
    loop {
        shared.reader.clock.sleep(ROUND).await;
        let now = shared.reader.now();
        let good = {
            let mut world = shared.world();
            world.expire_events(now);
            world.known_good(now, shared.reader.limits.known_good_after)
        };
        for (workload, revision) in good {
            shared
                .news
                .send(Heard::KnownGood { workload, revision })
                .await;
        }
    }
}

/// Measures the API server's clock, three times as often as it may be missed.
pub(super) async fn time(shared: Arc<Shared>) {
    let reader = &shared.reader;
    loop {
        let answer = reader.get("/version", "application/json", reader.limits.probe);
        if let Err(error) = answer.await {
            tracing::debug!(%error, "the API server's clock was not measured");
        }
        let now = reader.now();
        let source = Source::Clock;
        let news = match reader.clock_coverage(now) {
            Coverage::Seen { .. } => {
                let was_blind = shared.sights().heard(source, now);
                was_blind.then_some(Heard::Sees { source })
            }
            Coverage::Blind { why } => {
                let is_new = shared.sights().blind(source, &why);
                is_new.then_some(Heard::Blind { source, why })
            }
        };
        if let Some(news) = news {
            shared.news.send(news).await;
        }
        reader.clock.sleep(reader.limits.silence / 3).await;
    }
}
