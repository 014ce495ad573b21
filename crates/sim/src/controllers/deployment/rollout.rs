//! How the new ReplicaSet takes over from the old ones, and how a size is spread over them.

use super::sets::Set;
use super::{Look, Refused};
use std::time::Duration;

impl Look<'_> {
    /// Rolling update: up as far as the surge allows, down as far as enough stay available.
    pub(super) fn roll(&mut self) -> Result<Option<Duration>, Refused> {
        self.ensure_new()?;
        if self.grow_new()? || self.shrink_old()? {
            return Ok(self.report());
        }
        Ok(self.finish())
    }

    /// Recreate: nothing new before everything old is gone.
    pub(super) fn recreate(&mut self) -> Result<Option<Duration>, Refused> {
        let mut scaled = false;
        for set in self.active_old() {
            scaled |= self.scale_set(&set, 0)?;
        }
        if scaled || self.old_pods_run() {
            return Ok(self.report());
        }
        self.ensure_new()?;
        if let Some(new) = self.new.clone()
            && new.replicas != self.spec.replicas
        {
            self.scale_set(&new, self.spec.replicas)?;
        }
        Ok(self.finish())
    }

    fn finish(&mut self) -> Option<Duration> {
        if self.complete(&self.status) {
            self.clean_up();
        }
        self.report()
    }

    fn active_old(&self) -> Vec<Set> {
        let active = self.old.iter().filter(|set| set.replicas > 0);
        active.cloned().collect()
    }

    fn grow_new(&mut self) -> Result<bool, Refused> {
        let Some(new) = self.new.clone() else {
            return Ok(false);
        };
        let wanted = self.spec.replicas;
        if new.replicas == wanted {
            return Ok(false);
        }
        let size = if new.replicas > wanted {
            wanted
        } else {
            self.new_replicas(new.replicas)
        };
        if size == new.replicas {
            return Ok(false);
        }
        self.scale_set(&new, size)
    }

    /// How many pods the new ReplicaSet may have, which has `present` now.
    pub(super) fn new_replicas(&self, present: i64) -> i64 {
        let wanted = self.spec.replicas;
        if !self.spec.rolling() {
            return wanted;
        }
        let total: i64 = self.all().map(|set| set.replicas).sum();
        let room = wanted
            .saturating_add(self.spec.max_surge())
            .saturating_sub(total);
        if room <= 0 {
            return present;
        }
        present.saturating_add(room.min(wanted.saturating_sub(present)))
    }

    fn shrink_old(&mut self) -> Result<bool, Refused> {
        if self.active_old().is_empty() {
            return Ok(false);
        }
        let least = self
            .spec
            .replicas
            .saturating_sub(self.spec.max_unavailable());
        let total: i64 = self.all().map(|set| set.replicas).sum();
        let unavailable = self.new.as_ref().map_or(0, |new| {
            new.replicas.saturating_sub(new.status.available_replicas)
        });
        let most = total.saturating_sub(least).saturating_sub(unavailable);
        if most <= 0 {
            return Ok(false);
        }
        let cleaned = self.shrink_unhealthy(most)?;
        let shrunk = self.shrink_healthy(least)?;
        Ok(cleaned || shrunk)
    }

    /// Old pods that do not work go first: they keep nobody available, and would block the rollout.
    fn shrink_unhealthy(&mut self, most: i64) -> Result<bool, Refused> {
        let mut left = most;
        for set in self.active_old() {
            let broken = set.replicas.saturating_sub(set.status.available_replicas);
            let fewer = left.min(broken);
            if fewer > 0 {
                self.scale_set(&set, set.replicas.saturating_sub(fewer))?;
                left = left.saturating_sub(fewer);
            }
        }
        Ok(left < most)
    }

    fn shrink_healthy(&mut self, least: i64) -> Result<bool, Refused> {
        let available: i64 = self.all().map(|set| set.status.available_replicas).sum();
        let most = available.saturating_sub(least);
        let mut left = most;
        for set in self.active_old() {
            let fewer = left.min(set.replicas);
            if fewer > 0 {
                self.scale_set(&set, set.replicas.saturating_sub(fewer))?;
                left = left.saturating_sub(fewer);
            }
        }
        Ok(left < most)
    }

    /// Sizes the ReplicaSets when the wanted number changed: the only active one alone, several in
    /// proportion, so that a rollout under way gets no riskier.
    pub(super) fn scale(&mut self) -> Result<(), Refused> {
        if let Some(only) = self.active_or_latest() {
            if only.replicas != self.spec.replicas {
                self.scale_set(&only, self.spec.replicas)?;
            }
            return Ok(());
        }
        if self.saturated() {
            for set in self.active_old() {
                self.scale_set(&set, 0)?;
            }
            return Ok(());
        }
        if !self.spec.rolling() {
            return Ok(());
        }
        for (set, size) in self.proportions() {
            self.scale_set(&set, size)?;
        }
        Ok(())
    }

    /// The only active ReplicaSet; or, when none is, the newest; `None` when several are.
    fn active_or_latest(&self) -> Option<Set> {
        let mut active = self.all().filter(|set| set.replicas > 0);
        match (active.next(), active.next()) {
            (None, _) => self.new.as_ref().or(self.old.last()).cloned(),
            (only, None) => only.cloned(),
            _ => None,
        }
    }

    fn saturated(&self) -> bool {
        let wanted = self.spec.replicas;
        self.new.as_ref().is_some_and(|new| {
            new.replicas == wanted
                && new.desired() == Some(wanted)
                && new.status.available_replicas == wanted
        })
    }

    /// The size of each active ReplicaSet after a change of the wanted number.
    fn proportions(&self) -> Vec<(Set, i64)> {
        let mut sets: Vec<Set> = self.all().filter(|set| set.replicas > 0).cloned().collect();
        let wanted = self.spec.replicas;
        let allowed = if wanted > 0 {
            wanted.saturating_add(self.spec.max_surge())
        } else {
            0
        };
        let total: i64 = sets.iter().map(|set| set.replicas).sum();
        let to_add = allowed.saturating_sub(total);
        // From the largest on; of two of a size the newer grows and the older shrinks first.
        sets.sort_by(|one, other| {
            let age = one
                .object
                .meta
                .creation_timestamp
                .cmp(&other.object.meta.creation_timestamp);
            let age = if to_add > 0 { age.reverse() } else { age };
            other.replicas.cmp(&one.replicas).then(age)
        });
        let mut added = 0_i64;
        let mut sizes = Vec::new();
        for set in sets {
            let left = to_add.saturating_sub(added);
            let share = if left == 0 { 0 } else { self.share(&set) };
            let share = if to_add > 0 {
                share.min(left)
            } else {
                share.max(left)
            };
            added = added.saturating_add(share);
            let size = set.replicas.saturating_add(share);
            sizes.push((set, size));
        }
        if let Some((_, size)) = sizes.first_mut() {
            *size = size.saturating_add(to_add.saturating_sub(added)).max(0);
        }
        sizes
    }

    /// How much a ReplicaSet's size changes by in proportion, rounded to the nearest.
    fn share(&self, set: &Set) -> i64 {
        if self.spec.replicas == 0 {
            return set.replicas.saturating_neg();
        }
        let most = self.spec.replicas.saturating_add(self.spec.max_surge());
        let before = set
            .most()
            .filter(|most| *most > 0)
            .unwrap_or(self.status.replicas);
        if before == 0 {
            return 0;
        }
        let product = set.replicas.saturating_mul(most);
        let rounded = product.saturating_mul(2).saturating_add(before) / before.saturating_mul(2);
        rounded.saturating_sub(set.replicas)
    }
}
