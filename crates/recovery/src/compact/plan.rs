//! Which layers of a list to rewrite. Pure.
//!
//! Pieces of one run, that lie one behind the other, count as one: a base of a hundred gigabytes is
//! a hundred objects and still one run.

use std::ops::Range;

use super::{Shape, Survey};
use crate::manifest::LayerRef;

/// When layers are rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionSettings {
    /// The share of a list's stored bytes, in percent, that may be dead; in the oldest point, that
    /// may be dead or lie in another order than on the disk.
    pub dead_percent_max: u64,
    /// The share of a list of one run that a rewrite may be able to give back before there is one.
    /// Ingest copies frames of which only an eighth is live; this is where the rest is given back.
    /// It happens once to a run, so it may be less.
    pub own_dead_percent_max: u64,
    /// Bytes below which giving them back is not worth a commit.
    pub gain_bytes_min: u64,
    /// Runs that a list may have.
    pub runs_max: usize,
    /// Runs that are merged at a time.
    pub merged_runs_max: usize,
}

impl Default for CompactionSettings {
    fn default() -> CompactionSettings {
        CompactionSettings {
            dead_percent_max: 30,
            own_dead_percent_max: 15,
            gain_bytes_min: 128 << 10,
            runs_max: 16,
            merged_runs_max: 64,
        }
    }
}

/// Why layers are rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There are too many.
    Many,
    /// Too much of them is dead; in the oldest point, or lies in another order than on the disk.
    Waste,
}

/// Layers to be rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which of the list.
    pub layers: Range<usize>,
    /// What they become.
    pub shape: Shape,
    /// Why.
    pub reason: Reason,
}

/// Neighbouring layers that lie one behind the other.
#[derive(Clone, Debug)]
struct Run {
    layers: Range<usize>,
    object_bytes: u64,
    stored_bytes: u64,
    /// Bytes that are dead or, in a base, out of order.
    waste_bytes: u64,
    /// Bytes that a rewrite gives back or, in a base, puts in order.
    gain_bytes: u64,
}

/// Says which layers of a list to rewrite, if any; after each rewrite the list is surveyed again.
///
/// Many runs become few before anything else, so that no rewrite merges thousands. Of those, runs of
/// about one size are merged and a large one is left alone as long as enough small ones lie
/// together: each byte moves a bounded number of times for each power of four between the smallest
/// and the largest run. A rewrite for waste moves at most
/// `100 / dead_percent_max` bytes for each byte that died or came in since the one before.
#[must_use]
pub fn plan(survey: &Survey, settings: &CompactionSettings) -> Option<Plan> {
    let runs = runs(survey);
    let found = many(&runs, settings)
        .map(|range| (range, Reason::Many))
        .or_else(|| waste(&runs, survey.shape, settings).map(|range| (range, Reason::Waste)));
    let (range, reason) = found?;
    let first = runs.get(range.start)?.layers.start;
    let end = runs.get(range.end.checked_sub(1)?)?.layers.end;
    Some(Plan {
        layers: first..end,
        // Something lies below whatever does not begin at the bottom.
        shape: if first == 0 {
            survey.shape
        } else {
            Shape::Merge
        },
        reason,
    })
}

/// Whether [`plan`] could find anything to rewrite in a list, whatever a survey says of it: most lists
/// are too small and too short for that, and what the manifest says of them is enough to see it.
#[must_use]
pub fn is_worth_a_survey(layers: &[LayerRef], settings: &CompactionSettings) -> bool {
    // A layer is at least a run, and gives back at most its frames, whatever becomes of it.
    let bytes = layers.iter().map(|layer| layer.object_bytes);
    layers.len() > settings.runs_max || bytes.fold(0, u64::saturating_add) > settings.gain_bytes_min
}

fn runs(survey: &Survey) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (number, layer) in survey.layers.iter().enumerate() {
        let scattered = match survey.shape {
            Shape::Merge => 0,
            Shape::Base => layer.scattered_bytes,
        };
        let of_stored = |bytes: u64| layer.stored_bytes.saturating_sub(bytes) + scattered;
        let (waste, gain) = (
            of_stored(layer.live_stored_bytes),
            of_stored(layer.kept_bytes),
        );
        match runs.last_mut().filter(|_| layer.is_next_piece) {
            Some(run) => {
                run.layers.end = number + 1;
                run.object_bytes += layer.object_bytes;
                run.stored_bytes += layer.stored_bytes;
                run.waste_bytes += waste;
                run.gain_bytes += gain;
            }
            None => runs.push(Run {
                layers: number..number + 1,
                object_bytes: layer.object_bytes,
                stored_bytes: layer.stored_bytes,
                waste_bytes: waste,
                gain_bytes: gain,
            }),
        }
    }
    runs
}

/// A run's size in powers of four, from 64 KiB on.
fn tier(run: &Run) -> u32 {
    (run.object_bytes >> 16)
        .checked_ilog2()
        .map_or(0, |bits| bits / 2 + 1)
}

/// Where there are too many: neighbours of the lowest tier in which enough of them lie together.
fn many(runs: &[Run], settings: &CompactionSettings) -> Option<Range<usize>> {
    if runs.len() <= settings.runs_max {
        return None;
    }
    let together = (settings.runs_max / 2).max(2);
    let mut tiers: Vec<u32> = runs.iter().map(tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    let mut found = tiers.into_iter().filter_map(|highest| {
        let longest = longest(runs, highest)?;
        (longest.len() >= together).then_some(longest)
    });
    let mut range = found.next()?;
    range.end = range.end.min(range.start + settings.merged_runs_max.max(2));
    Some(range)
}

/// The longest stretch of neighbours of which none is above a tier.
fn longest(runs: &[Run], highest: u32) -> Option<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for (number, _) in runs
        .iter()
        .enumerate()
        .filter(|(_, run)| tier(run) <= highest)
    {
        match stretches.last_mut() {
            Some(stretch) if stretch.end == number => stretch.end += 1,
            _ => stretches.push(number..number + 1),
        }
    }
    stretches.into_iter().max_by_key(ExactSizeIterator::len)
}

/// Where too much is dead. In a base all is rewritten; elsewhere what lies below stays as long as it
/// holds at most half of the waste that is allowed afterwards. What lies above is always needed: it is
/// what hides the dead.
///
/// Of a frame that passes at most an eighth is dead, so where more than 30 % is, a rewrite gives back
/// at least 17 %: it never happens again and again for little.
fn waste(runs: &[Run], shape: Shape, settings: &CompactionSettings) -> Option<Range<usize>> {
    let sum = |of: fn(&Run) -> u64| runs.iter().map(of).sum::<u64>();
    let stored = sum(|run| run.stored_bytes);
    let gain = sum(|run| run.gain_bytes);
    let is_too_much = match runs {
        [one] => one.gain_bytes > percent(stored, settings.own_dead_percent_max),
        _ => sum(|run| run.waste_bytes) > percent(stored, settings.dead_percent_max),
    };
    if !is_too_much || gain < settings.gain_bytes_min.max(1) {
        return None;
    }
    if shape == Shape::Base || runs.len() == 1 {
        return Some(0..runs.len());
    }
    let mut below = 0;
    let mut afterwards = stored - gain;
    let stays = runs.iter().take_while(|run| {
        below += run.waste_bytes;
        afterwards += run.gain_bytes;
        below * 2 <= percent(afterwards, settings.dead_percent_max)
    });
    let first = stays.count();
    (first < runs.len()).then_some(first..runs.len())
}

/// So many percent of `bytes`.
const fn percent(bytes: u64, percent: u64) -> u64 {
    bytes / 100 * percent + bytes % 100 * percent / 100
}

#[cfg(test)]
mod tests {
    use afterimage_changelog::{Digest, Epoch, ObjectId};
    use proptest::prelude::*;

    use super::*;
    use crate::compact::LayerSurvey;

    const MIB: u64 = 1 << 20;

    /// A layer of so many MiB of which so many percent would be given back.
    fn layer(mib: u64, dead_percent: u64) -> LayerSurvey {
        LayerSurvey {
            object_bytes: mib * MIB,
            stored_bytes: mib * MIB,
            live_stored_bytes: mib * MIB / 100 * (100 - dead_percent),
            kept_bytes: mib * MIB / 100 * (100 - dead_percent),
            ..LayerSurvey::default()
        }
    }

    fn survey(shape: Shape, layers: impl IntoIterator<Item = LayerSurvey>) -> Survey {
        let layers = layers.into_iter().collect();
        Survey { shape, layers }
    }

    fn planned(survey: &Survey) -> Option<(Range<usize>, Shape, Reason)> {
        let plan = plan(survey, &CompactionSettings::default())?;
        Some((plan.layers, plan.shape, plan.reason))
    }

    #[test]
    fn a_list_without_waste_is_left_alone() {
        for shape in [Shape::Merge, Shape::Base] {
            assert_eq!(planned(&survey(shape, [])), None);
            assert_eq!(planned(&survey(shape, [layer(100, 14)])), None);
            let few = [layer(100, 29), layer(1, 0), layer(50, 25)];
            assert_eq!(planned(&survey(shape, few)), None);
        }
    }

    #[test]
    fn a_single_layer_gives_back_what_ingest_copied_too_much() {
        let fresh = survey(Shape::Merge, [layer(100, 17)]);
        let expected = Some((0..1, Shape::Merge, Reason::Waste));
        assert_eq!(planned(&fresh), expected);
    }

    #[test]
    fn little_is_not_worth_a_commit() {
        let mut small = layer(1, 0);
        small.stored_bytes = 256 << 10;
        small.kept_bytes = small.stored_bytes - (128 << 10) + 1;
        assert_eq!(planned(&survey(Shape::Merge, [small])), None);
        small.kept_bytes -= 1;
        assert!(planned(&survey(Shape::Merge, [small])).is_some());
    }

    #[test]
    fn a_clean_layer_at_the_bottom_of_a_list_stays() {
        let list = [layer(500, 1), layer(300, 70), layer(300, 60), layer(20, 0)];
        let expected = Some((1..4, Shape::Merge, Reason::Waste));
        assert_eq!(planned(&survey(Shape::Merge, list)), expected);
        let expected = Some((0..4, Shape::Base, Reason::Waste));
        assert_eq!(planned(&survey(Shape::Base, list)), expected);
    }

    #[test]
    fn the_oldest_point_is_put_in_order_once() {
        let mut fresh = layer(100, 0);
        fresh.scattered_bytes = 60 * MIB;
        let expected = Some((0..1, Shape::Base, Reason::Waste));
        assert_eq!(planned(&survey(Shape::Base, [fresh])), expected);
        assert_eq!(planned(&survey(Shape::Merge, [fresh])), None);
        fresh.scattered_bytes = 2 * MIB;
        assert_eq!(planned(&survey(Shape::Base, [fresh])), None);
    }

    #[test]
    fn a_base_of_many_objects_is_one_run() {
        let piece = LayerSurvey {
            is_next_piece: true,
            ..layer(1000, 0)
        };
        let mut list = vec![layer(1000, 0)];
        list.extend([piece; 99]);
        assert_eq!(planned(&survey(Shape::Base, list.clone())), None);
        list.extend([layer(1, 0); 16]);
        let expected = Some((100..116, Shape::Merge, Reason::Many));
        assert_eq!(planned(&survey(Shape::Base, list)), expected);
    }

    #[test]
    fn small_ones_are_merged_around_a_large_one() {
        let mut list = vec![layer(1, 0); 5];
        list.push(layer(4000, 0));
        list.extend([layer(1, 0); 11]);
        let expected = Some((6..17, Shape::Merge, Reason::Many));
        assert_eq!(planned(&survey(Shape::Merge, list)), expected);
    }

    #[test]
    fn thousands_are_merged_a_few_at_a_time() {
        let list = vec![layer(1, 0); 5000];
        let expected = Some((0..64, Shape::Merge, Reason::Many));
        assert_eq!(planned(&survey(Shape::Merge, list)), expected);
    }

    proptest! {
        /// What is not worth a survey is never planned, whatever a survey would say.
        #[test]
        fn whatever_is_planned_was_worth_a_survey(
            layers in prop::collection::vec((0..400u64, 0..=100u64, 0..=100u64), 0..20),
            is_base in any::<bool>(),
        ) {
            let layers: Vec<LayerSurvey> = layers
                .into_iter()
                .map(|(kib, live, scattered)| LayerSurvey {
                    object_bytes: (kib << 10) + 300,
                    stored_bytes: kib << 10,
                    live_stored_bytes: (kib << 10) / 100 * live,
                    kept_bytes: (kib << 10) / 100 * live,
                    scattered_bytes: (kib << 10) / 100 * live / 100 * scattered,
                    ..LayerSurvey::default()
                })
                .collect();
            let refs: Vec<LayerRef> = layers
                .iter()
                .map(|layer| LayerRef {
                    epoch: Epoch(1),
                    id: ObjectId([1; 16]),
                    object_bytes: layer.object_bytes,
                    digest: Digest::NONE,
                })
                .collect();
            let settings = CompactionSettings::default();
            let shape = if is_base { Shape::Base } else { Shape::Merge };
            if plan(&Survey { shape, layers }, &settings).is_some() {
                prop_assert!(is_worth_a_survey(&refs, &settings));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Layers come in at the end of a list, as points at its old end are pruned. However large
        /// each is, none is ever rewritten often: three times for each tier above its own.
        #[test]
        fn a_byte_is_merged_a_bounded_number_of_times(
            sizes in prop::collection::vec(
                prop_oneof![9 => 1..8u64, 3 => 8..200u64, 1 => 200..4000u64], 50..600,
            ),
        ) {
            let mut list: Vec<LayerSurvey> = Vec::new();
            let (mut came, mut moved) = (0, 0);
            for mib in sizes {
                list.push(layer(mib, 0));
                came += mib;
                while let Some(plan) = plan(&survey(Shape::Merge, list.clone()), &CompactionSettings::default()) {
                    prop_assert_eq!(plan.reason, Reason::Many);
                    let merged = list[plan.layers.clone()].iter().map(|layer| layer.object_bytes / MIB).sum();
                    moved += merged;
                    list.splice(plan.layers, [layer(merged, 0)]);
                }
                prop_assert!(list.len() <= 16);
            }
            let total = layer(came, 0);
            let tiers = u64::from(tier(&runs(&survey(Shape::Merge, [total]))[0])) - 2;
            prop_assert!(moved <= came * tiers, "{} of {} moved, {} tiers", moved, came, tiers);
        }
    }
}
