//! Points that are held: while somebody reads them, or because an operator pinned them.

use std::{sync::Arc, time::Duration};

use afterimage_changelog::{Name, ObjectId, Timestamp};
use afterimage_recovery::{
    RecoveryErrorKind,
    hold::{Hold, HoldKind},
    holds::{Held, HoldRequest, list_holds, take_hold},
    name::hold_key,
};
use afterimage_storage::{Nonces, Operation, Store, StoreErrorKind};

use crate::{
    clock::system_clock,
    error::{Error, ErrorKind},
    points::{PointSelector, Points},
    stop::Stop,
};

/// A reader that died holds its point for so long.
const USE_FOR: Duration = Duration::from_hours(24);
/// How often a pin is tried while points are being pruned, and the pause between.
const PIN_ATTEMPTS: u32 = 100;
const PIN_PAUSE: Duration = Duration::from_millis(100);

/// Points of which one is held, until it is released or a day has passed: it is not pruned, and
/// nothing that it is read from is collected.
#[derive(Debug)]
pub struct HeldPoints {
    points: Points,
    point: u64,
    hold: Option<(Arc<dyn Store>, Held)>,
}

impl HeldPoints {
    /// Loads the points of a group and holds the one that `selector` finds. `who` is what an
    /// operator sees of it.
    ///
    /// Where the target may only be read nothing is held, and a reader that is too slow is told that
    /// what it reads is gone.
    ///
    /// # Errors
    ///
    /// The store failed, there is no such group, or no point that fits.
    pub fn take(
        store: &Arc<dyn Store>,
        group: &Name,
        selector: &PointSelector,
        who: &str,
    ) -> Result<HeldPoints, Error> {
        let request = HoldRequest {
            kind: HoldKind::Use,
            until: after(USE_FOR),
            text: shortened(who),
        };
        match take(store, group, selector, &request) {
            Ok(held) => Ok(HeldPoints {
                points: Points::of(store, held.head.manifest.clone()),
                point: held.point,
                hold: Some((Arc::clone(store), held)),
            }),
            Err(error) if error.kind() == ErrorKind::Invalid && is_read_only(&error) => {
                tracing::warn!(%error, "the point is read without being held");
                let points = Points::load(store, group)?;
                let point = points.find(selector)?.id;
                Ok(HeldPoints {
                    points,
                    point,
                    hold: None,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// The points as of when the one was held.
    #[must_use]
    pub const fn points(&self) -> &Points {
        &self.points
    }

    /// The id of the one that is held.
    #[must_use]
    pub const fn point(&self) -> u64 {
        self.point
    }

    /// Releases the point.
    ///
    /// # Errors
    ///
    /// The store failed; the hold ends by itself a day after it was taken.
    pub fn release(self) -> Result<(), Error> {
        match self.hold {
            Some((store, held)) => Ok(store.delete(&held.key)?),
            None => Ok(()),
        }
    }
}

/// A pin, or somebody who reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointHold {
    /// Its id.
    pub id: String,
    /// The point.
    pub point: Option<u64>,
    /// Whether an operator pinned it; else somebody uses it.
    pub is_pin: bool,
    /// From then on it does not count.
    pub until: Timestamp,
    /// Why, or who.
    pub text: String,
}

/// Pins a point until a time.
///
/// # Errors
///
/// The store failed, or there is no such group or point.
pub fn pin(
    store: &Arc<dyn Store>,
    group: &Name,
    selector: &PointSelector,
    until: Timestamp,
    why: &str,
) -> Result<PointHold, Error> {
    if shortened(why) != why {
        return Err(Error::invalid(
            "what a pin says has at most 200 bytes and no control characters, such as line ends",
        ));
    }
    let request = HoldRequest {
        kind: HoldKind::Pin,
        until,
        text: why.to_owned(),
    };
    let mut attempts = 0;
    loop {
        match take(store, group, selector, &request) {
            Err(error) if error.kind() == ErrorKind::Unavailable && attempts < PIN_ATTEMPTS => {
                attempts += 1;
                let _nobody_stops_it = Stop::default().wait(PIN_PAUSE);
            }
            Err(error) => return Err(error),
            Ok(held) => {
                let name = held.key.as_str().rsplit('/').next().unwrap_or_default();
                return Ok(PointHold {
                    id: name.trim_end_matches(".hold").to_owned(),
                    point: Some(held.point),
                    is_pin: true,
                    until,
                    text: why.to_owned(),
                });
            }
        }
    }
}

/// Takes the pins of a point away; gives how many there were.
///
/// # Errors
///
/// The store failed.
pub fn unpin(store: &Arc<dyn Store>, group: &Name, point: u64) -> Result<u64, Error> {
    let mut pins = 0;
    for (key, hold) in list_holds(store.as_ref(), group)? {
        if hold.kind == HoldKind::Pin && hold.point == Some(point) {
            store.delete(&key)?;
            pins += 1;
        }
    }
    Ok(pins)
}

/// The pins and uses of a group's points.
///
/// # Errors
///
/// The store failed, or a hold is damaged.
pub fn holds(store: &Arc<dyn Store>, group: &Name) -> Result<Vec<PointHold>, Error> {
    let listed = list_holds(store.as_ref(), group)?;
    let told = listed.into_iter().map(|(_, hold)| PointHold {
        id: hold.id.to_string(),
        point: hold.point,
        is_pin: hold.kind == HoldKind::Pin,
        until: hold.until,
        text: hold.text,
    });
    Ok(told.collect())
}

fn take(
    store: &Arc<dyn Store>,
    group: &Name,
    selector: &PointSelector,
    request: &HoldRequest,
) -> Result<Held, Error> {
    let nonces = Nonces::from_os();
    let id = || ObjectId(nonces.next());
    let mut wrong = None;
    let held = take_hold(store.as_ref(), group, id, request, |manifest| {
        let points = Points::of(store, manifest.clone());
        points
            .find(selector)
            .map(|point| point.id)
            .map_err(|error| {
                let kind = RecoveryErrorKind::NoSuch(error.to_string());
                wrong = Some(error);
                afterimage_recovery::RecoveryError::new(group, kind)
            })
    });
    match wrong {
        Some(error) => Err(error),
        None => Ok(held?),
    }
}

fn is_read_only(error: &Error) -> bool {
    let mut below = std::error::Error::source(error);
    while let Some(cause) = below {
        if let Some(store) = cause.downcast_ref::<afterimage_storage::StoreError>() {
            return (store.operation, store.kind) == (Operation::Create, StoreErrorKind::Denied);
        }
        below = cause.source();
    }
    false
}

fn after(time: Duration) -> Timestamp {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Timestamp(system_clock()().0.saturating_add(micros))
}

/// What fits into a hold.
fn shortened(text: &str) -> String {
    let plain = text.chars().filter(|letter| !letter.is_control());
    let mut short = String::new();
    for letter in plain {
        if short.len() + letter.len_utf8() > afterimage_changelog::limits::MARKER_TEXT_BYTES_MAX {
            break;
        }
        short.push(letter);
    }
    short
}

/// Holds that a worker keeps of the points its replicas stand at.
#[derive(Debug, Default)]
pub(crate) struct Stands {
    held: Vec<(Name, Hold)>,
}

impl Stands {
    /// Holds the point that a replica stands at now, in place of the one before.
    ///
    /// 1. creates the new hold: a crash leaves both, and the old one expires;
    /// 2. deletes the old one.
    pub(crate) fn stand(
        &mut self,
        store: &Arc<dyn Store>,
        nonces: &Nonces,
        (group, disk): (&Name, &Name),
        point: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        const STAND_FOR: u64 = 30 * 24 * 3600 * 1_000_000;
        const RENEWED_AFTER: u64 = STAND_FOR / 30;
        if !self.held.iter().any(|(known, _)| known == disk) {
            self.find(store, group, disk)?;
        }
        let known = self.held.iter().position(|(known, _)| known == disk);
        let known = known.and_then(|at| self.held.get(at).map(|(_, hold)| (at, hold)));
        let fresh = known.is_some_and(|(_, hold)| {
            let left = hold.until.0.saturating_sub(now.0);
            hold.point == Some(point) && left > STAND_FOR - RENEWED_AFTER
        });
        if fresh {
            return Ok(());
        }
        let hold = Hold {
            id: ObjectId(nonces.next()),
            group: group.clone(),
            kind: HoldKind::Use,
            manifest: None,
            point: Some(point),
            until: Timestamp(now.0.saturating_add(STAND_FOR)),
            text: format!("replica {disk}"),
        };
        let bytes = bytes::Bytes::from(hold.encode());
        store.create(&hold_key(group, hold.id), &[bytes])?;
        let old = known.map(|(at, old)| (at, old.id));
        match old {
            Some((at, id)) => {
                store.delete(&hold_key(group, id))?;
                if let Some(slot) = self.held.get_mut(at) {
                    slot.1 = hold;
                }
            }
            None => self.held.push((disk.clone(), hold)),
        }
        Ok(())
    }

    /// Finds the hold that an earlier worker left for a disk.
    fn find(&mut self, store: &Arc<dyn Store>, group: &Name, disk: &Name) -> Result<(), Error> {
        let text = format!("replica {disk}");
        let mut listed = list_holds(store.as_ref(), group)?.into_iter();
        let left = listed.find(|(_, hold)| hold.kind == HoldKind::Use && hold.text == text);
        self.held.extend(left.map(|(_, hold)| (disk.clone(), hold)));
        Ok(())
    }
}
