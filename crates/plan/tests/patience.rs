//! How long trouble is borne: the times that the documentation promises, to the second.

use std::time::Duration;

use plan::{
    Key,
    health::{Grace, Patience, Trouble},
};

fn key(name: &str) -> Key {
    Key { group: "apps".into(), kind: "Deployment".into(), namespace: None, name: name.into() }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn every_trouble_is_borne_as_long_as_is_said() {
    let plain = Grace::default();
    let fast = Grace { fail_fast: true, image: Some(seconds(1200)), data_job: true };
    let images = Grace { image: Some(seconds(1200)), ..plain };
    let data = Grace { data_job: true, ..plain };
    for (trouble, by_default, with_images, in_data_jobs) in [
        (Trouble::ImageName, Some(0), Some(0), Some(0)),
        (Trouble::ImagePull, Some(120), Some(1200), Some(120)),
        (Trouble::CrashLoop, None, None, None),
        (Trouble::ContainerConfig, Some(300), Some(300), Some(20)),
        (Trouble::Quota, Some(300), Some(300), Some(300)),
        (Trouble::Rejected, Some(300), Some(300), Some(300)),
        (Trouble::Volume, Some(300), Some(300), Some(300)),
        (Trouble::Unschedulable, Some(300), Some(300), Some(300)),
        (Trouble::PodFailed, None, None, None),
        (Trouble::JobFailed, Some(0), Some(0), Some(0)),
        (Trouble::Deadline, Some(0), Some(0), Some(0)),
        (Trouble::NamesRejected, Some(0), Some(0), Some(0)),
        (Trouble::Stalled, Some(0), Some(0), Some(0)),
        (Trouble::Rule, Some(0), Some(0), Some(0)),
    ] {
        assert_eq!(plain.of(trouble), by_default.map(seconds), "{trouble:?}");
        assert_eq!(images.of(trouble), with_images.map(seconds), "{trouble:?} with waitForImage");
        assert_eq!(data.of(trouble), in_data_jobs.map(seconds), "{trouble:?} of a data Job");
        assert_eq!(fast.of(trouble), Some(Duration::ZERO), "{trouble:?} with --fail-fast");
    }
    assert_eq!(Trouble::RESTARTS, 4);
}

#[test]
fn the_clock_starts_anew_with_another_trouble_and_when_it_has_passed() {
    let (web, db) = (key("web"), key("db"));
    let mut patience = Patience::default();
    let mut at = |key: &Key, trouble, now| {
        patience.deadline(key, trouble, seconds(now), Grace::default()).map(|at| at.as_secs())
    };
    assert_eq!(at(&web, Trouble::ImagePull, 10), Some(130));
    assert_eq!(at(&web, Trouble::ImagePull, 100), Some(130), "it goes on");
    assert_eq!(at(&db, Trouble::ImagePull, 100), Some(220), "each has its own");
    assert_eq!(at(&web, Trouble::Unschedulable, 110), Some(410), "another trouble");
    assert_eq!(at(&web, Trouble::ImagePull, 120), Some(240), "and back");
    assert_eq!(at(&web, Trouble::CrashLoop, 130), None);
    patience.passed(&web);
    let grace = Grace::default();
    assert_eq!(patience.deadline(&web, Trouble::CrashLoop, seconds(140), grace), None);
    assert_eq!(patience.deadline(&web, Trouble::Quota, seconds(150), grace), Some(seconds(450)));
    patience.passed(&web);
    assert_eq!(patience.deadline(&web, Trouble::Quota, seconds(200), grace), Some(seconds(500)));
}
