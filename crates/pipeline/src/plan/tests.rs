use std::time::Duration;

use afterimage_cache::SegmentLimits;
use afterimage_storage::{Provider, Requests};

use super::{MeanRequests, Plan, PlanInput, Prices, kept::kept, plan};

const MONTH_SECONDS: u64 = 2_592_000;

/// One megabyte a second, half of it stored; a segment each ten seconds, a point each five minutes.
fn input() -> PlanInput {
    PlanInput {
        churn_bytes_per_second: 1_000_000,
        disks: 4,
        seal: Duration::from_secs(10),
        points: Duration::from_secs(300),
        poll: Duration::from_secs(1),
        keep: "asr".parse().unwrap(),
        ratio: 0.5,
        live: 1.0,
        used_bytes: None,
        provider: Provider::S3,
    }
}

fn assert_about(found: &MeanRequests, expected: &MeanRequests) {
    let pairs = found.counts().into_iter().zip(expected.counts());
    let is_about = pairs
        .into_iter()
        .all(|(one, other)| (one - other).abs() < 1e-9);
    assert!(is_about, "{found:?}, not {expected:?}");
}

fn planned(change: impl FnOnce(&mut PlanInput)) -> Plan {
    let mut input = input();
    change(&mut input);
    plan(&input).unwrap()
}

#[test]
fn a_small_case_is_what_a_hand_makes_of_it() {
    let planned = planned(|_| {});
    assert_eq!(planned.segments, MONTH_SECONDS / 10);
    assert_eq!(planned.segment_bytes, 5_000_000);
    // End and header; one range of frames; ten looks in vain and two more at once; a bulk delete for the
    // thirty segments of a point.
    let per_segment = MeanRequests {
        puts: 1.0,
        gets: 1.0 + 1.0 + 1.0 + 12.0,
        heads: 1.0,
        lists: 0.0,
        deletes: 1.0 / 30.0,
    };
    assert_eq!(planned.per_segment, per_segment);
    assert_eq!(planned.points, MONTH_SECONDS / 300);
    assert_eq!(planned.point_bytes, 150_000_000);
    // Nine parts of 16 MiB; five requests around them; the manifest. Each layer is opened for an index,
    // each index for another one: one in 31 in the end, with a manifest of its own.
    let per_point = MeanRequests {
        puts: 9.0 + 5.0 + 1.0 + 2.0 / 31.0,
        gets: 1.0 + 2.0 + 3.0 / 31.0,
        heads: 1.0 + 1.0 / 31.0,
        lists: 0.0,
        deletes: 1.0,
    };
    assert_about(&planned.per_point, &per_point);
    let to_cache = Requests {
        puts: 259_200,
        gets: 259_200 * 15,
        heads: 259_200,
        lists: 0,
        deletes: 8_640,
    };
    assert_eq!(planned.cache.requests, to_cache);
    let to_target = Requests {
        // And 720 prunings, one an hour.
        puts: 8_640 * 15 + 8_640 * 2 / 31 + 720 * 3,
        gets: 8_640 * 3 + 8_640 * 3 / 31 + 720,
        heads: 8_640 + 8_640 / 31 + 1 + 720,
        lists: 720 * 3,
        deletes: 8_640 + 720 * 4,
    };
    assert_eq!(planned.target.requests, to_target);
    assert_eq!(planned.cache.stored_bytes, 75_000_000 + 5_000_000);
    assert_eq!(planned.cache.in_bytes, 500_000 * MONTH_SECONDS);
    // The last 256 KiB of each segment once more.
    let ends = 259_200 * (256 << 10);
    assert_eq!(planned.cache.out_bytes, planned.cache.in_bytes + ends);
    assert_eq!(planned.target.in_bytes, planned.cache.in_bytes);
    assert_eq!(planned.target.out_bytes, 0);
}

#[test]
fn a_segment_is_sealed_when_it_is_full_or_when_its_time_is_over() {
    let limit = SegmentLimits::default().segment_bytes;
    // 33.5 seconds of half a megabyte are 16 MiB.
    for (seal, seconds) in [(10, 10.0), (33, 33.0), (34, 33.554_432), (600, 33.554_432)] {
        let planned = planned(|input| input.seal = Duration::from_secs(seal));
        let time = planned.segment_time.as_secs_f64();
        assert!((time - seconds).abs() < 1e-6, "{seal}: {time}");
        assert_eq!(planned.segment_bytes == limit, seal > 33, "{seal}");
    }
    let full = planned(|input| input.seal = Duration::from_secs(600));
    // Two ranges hold a little less than 16 MiB, as frames are not cut.
    let looks = 33.554_432 + 2.0;
    assert!((full.per_segment.gets - (2.0 + 3.0 + looks)).abs() < 1e-6);
    // One as small as this is read whole with its end.
    let small = planned(|input| input.churn_bytes_per_second = 1_000);
    assert_eq!(small.per_segment.gets, 1.0 + 1.0 + 12.0);
}

#[test]
fn a_point_within_a_segment_deletes_no_more_than_segments() {
    let planned = planned(|input| {
        input.points = Duration::from_secs(5);
        input.churn_bytes_per_second = 1_000;
    });
    assert_eq!(planned.points, 2 * planned.segments);
    assert_eq!(planned.per_segment.deletes, 1.0);
    // A small layer is one request.
    assert_eq!(planned.per_point.puts, 2.0 + 2.0 / 31.0);
}

#[test]
fn as_many_points_are_counted_as_the_presets_keep() {
    let every = Duration::from_secs(300);
    // 25 of the last two hours, both ends among them; then the last ones of whole hours, from 2:05 to
    // 23:05 ago.
    let points = |keep: &str| kept(&keep.parse().unwrap(), every).unwrap().points();
    assert_eq!(points("asr"), 25 + 22);
    // From 2:05 to 166:05 ago, every second hour.
    assert_eq!(points("asr:7d"), 25 + 83);
    assert_eq!(points("journal:1h"), 13);
    // A month of them, and none goes.
    let forever = planned(|input| input.keep = "forever".parse().unwrap());
    assert_eq!((forever.kept_points, forever.prunings), (8_640, 0));
    // 8,640 of 65.
    assert_eq!(forever.target.requests.lists, 2 * 8_640 / 65 + 1);
    // An hour of points waits to be pruned.
    let planned_points = planned(|_| {});
    let points_there = (planned_points.kept_points, planned_points.waiting_points);
    assert_eq!(points_there, (25 + 22, 12));
    // Silence is looked into: after 64 looks, after 128 and after 256.
    let silent = planned(|input| input.seal = Duration::from_secs(300));
    let slow = planned(|input| {
        input.seal = Duration::from_secs(300);
        input.churn_bytes_per_second = 1_000;
    });
    assert_eq!(
        (silent.per_segment.lists, slow.per_segment.lists),
        (0.0, 3.0)
    );
    // The rule of another kind is for points of that kind.
    assert_eq!(points("journal:1h; user:forever"), 13);
    assert_eq!(points("journal:1h; crash:1d:1h"), points("1d:1h"));
    let seconds = Duration::from_secs(1);
    assert!(kept(&"drs:365d".parse().unwrap(), seconds).is_err());
}

#[test]
fn what_points_hold_reaches_from_the_oldest_to_the_newest() {
    let planned_bytes = planned(|_| {}).target.stored_bytes;
    // The oldest one stands 23:05 before the newest, and has five minutes of its own; an hour's wait to be
    // pruned.
    assert_eq!(planned_bytes, 500_000 * (24 * 3600 + 10 * 60));
    let live = planned(|input| input.live = 0.5).target;
    assert_eq!(2 * live.stored_bytes, planned_bytes);
    let used = planned(|input| input.used_bytes = Some(1_000_000_000_000)).target;
    let interval = 150_000_000;
    assert_eq!(
        used.stored_bytes,
        planned_bytes - interval + 500_000_000_000
    );
    // No point has more than the disks hold.
    let small = planned(|input| input.used_bytes = Some(1_000_000)).target;
    assert_eq!(small.stored_bytes, (47 + 12) * 500_000);
}

#[test]
fn providers_are_asked_differently() {
    let azure = planned(|input| input.provider = Provider::Azure);
    // A look for a segment and one for its size are of the same kind there.
    assert_eq!(azure.per_segment.heads, 1.0 + 1.0 + 12.0);
    assert_eq!(azure.per_segment.gets, 3.0);
    let per_point = MeanRequests {
        puts: 9.0 + 2.0 + 1.0 + 2.0 / 31.0,
        gets: 18.0 + 1.0 + 2.0 + 3.0 / 31.0,
        // Of the copy, of the claim, and of each object that is opened.
        heads: 1.0 + 1.0 + 1.0 + 2.0 / 31.0,
        lists: 0.0,
        deletes: 1.0,
    };
    assert_about(&azure.per_point, &per_point);
    assert_eq!(azure.target.out_bytes, azure.target.in_bytes);
    let google = planned(|input| input.provider = Provider::Google);
    assert_eq!(google.per_segment.deletes, 1.0);
    assert_eq!(google.per_point.puts, 9.0 + 3.0 + 1.0 + 2.0 / 31.0);
}

#[test]
fn a_price_is_an_amount_times_its_price() {
    let planned = planned(|_| {});
    let prices = Prices {
        per_requests: 1_000.0,
        puts: 5.0,
        gets: 0.5,
        heads: 0.0,
        lists: 0.0,
        deletes: 0.0,
        stored_gib_month: 2.0,
        cache_out_gib: 3.0,
        target_out_gib: 7.0,
    };
    let lines = planned.price(&prices);
    let price = |store: &str, what: &str| {
        let mut found = lines
            .iter()
            .filter(|line| (line.store, line.what) == (store, what));
        let line = found.next().unwrap();
        assert!(found.next().is_none());
        line.price
    };
    let gib = f64::from(1 << 30);
    assert_eq!(lines.len(), 14);
    assert_eq!(price("cache", "puts"), 259.2 * 5.0);
    assert_eq!(price("cache", "lists"), 0.0);
    assert_eq!(price("target", "puts"), 132.317 * 5.0);
    assert_eq!(price("cache", "stored"), 80_000_000.0 / gib * 2.0);
    assert_eq!(
        price("cache", "out"),
        planned.cache.out_bytes as f64 / gib * 3.0
    );
    assert_eq!(price("target", "out"), 0.0);
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    let refused = |change: fn(&mut PlanInput)| {
        let mut input = input();
        change(&mut input);
        plan(&input).unwrap_err().to_string()
    };
    assert!(refused(|input| input.churn_bytes_per_second = 0).contains("churn"));
    assert!(refused(|input| input.disks = 0).contains("0 disks"));
    assert!(refused(|input| input.used_bytes = Some(0)).contains("hold nothing"));
    assert!(refused(|input| input.disks = 257).contains("257 disks"));
    assert!(refused(|input| input.points = Duration::ZERO).contains("points"));
    assert!(refused(|input| input.seal = Duration::MAX).contains("sealed"));
    assert!(refused(|input| input.ratio = f64::NAN).contains("ratio"));
    assert!(refused(|input| input.ratio = 1.5).contains("ratio"));
    assert!(refused(|input| input.live = 0.0).contains("live"));
}
