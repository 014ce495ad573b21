//! A journal replays to the same decisions, from any checkpoint and in any order.

use super::*;

#[test]
fn a_journal_may_begin_at_any_checkpoint_and_decides_the_same() {
    // A few places, in mid-plan and mid-check too: each needs the whole journal twice.
    for at in (1..JOURNAL.len()).step_by(JOURNAL.len() / 6) {
        let (before, after) = JOURNAL.split_at(at);
        let mut whole = Engine::new();
        for (input, now) in before {
            whole.handle(input.clone(), *now);
        }
        let now = after
            .first()
            .map_or(START.parse().expect("a time"), |(_, now)| *now);
        let text = serde_json::to_string(&whole.checkpoint()).expect("it is data");
        let checkpoint: Checkpoint = serde_json::from_str(&text).expect("what was written");
        let start = Input::Start(Box::new(checkpoint));
        let mut later = Engine::new();
        let told = (later.handle(start.clone(), now), whole.handle(start, now));
        assert_eq!(told.0, told.1, "input {at}");
        assert_eq!(told.0.batch, crate::record::Batch::default(), "input {at}");
        for (input, now) in after {
            let same = whole.handle(input.clone(), *now) == later.handle(input.clone(), *now);
            assert!(same, "begun at input {at}: {input:?}");
        }
    }
}

/// Inputs of a journal in any order, with anything missing or twice.
fn shuffled() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0_usize..40, 0..80)
}

static JOURNAL: std::sync::LazyLock<Vec<(Input, Timestamp)>> =
    std::sync::LazyLock::new(full_journal);

fn full_journal() -> Vec<(Input, Timestamp)> {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.alert(true);
    story.hear("cart-2-a");
    story.world.look = healthy;
    story.pass(30);
    story.alert(false);
    story.world.look = oom;
    story.hear("cart-1-a");
    story.pass(600);
    story
        .journal
        .into_iter()
        .map(|(input, at, _)| (input, at))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant 7, and that no order of inputs breaks the engine.
    #[test]
    fn any_order_of_inputs_replays_to_the_same_decisions(order in shuffled()) {
        let journal = &*JOURNAL;
        let start = journal.first().cloned().expect("a start");
        let picked = order.iter().filter_map(|index| journal.get(*index).cloned());
        let inputs: Vec<_> = std::iter::once(start).chain(picked).collect();
        let run = || {
            let mut engine = Engine::new();
            let mut decisions = Vec::new();
            for (input, now) in &inputs {
                let decision = engine.handle(input.clone(), *now);
                let acts = decision.effects.iter().filter(|e| matches!(e, Effect::Act(_))).count();
                let intents = decision.batch.entries.iter();
                let intents = intents.filter(|e| e.kind == EntryKind::Intent).count();
                prop_assert_eq!(acts, intents, "a write without an intent in the same batch");
                decisions.push(crate::ids::Digest::of(&decision));
            }
            Ok(decisions)
        };
        prop_assert_eq!(run()?, run()?);
    }
}
