//! Why a point stays or goes, in words that an operator understands.

use std::fmt;

use afterimage_changelog::{MarkerKind, Timestamp};

use super::{
    decide::HoldReason,
    period::Period,
    slot::{InWords, Slot},
};

/// Why a point stays or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Stays: no point is newer.
    Newest,
    /// Stays: someone holds it.
    Held {
        /// Why.
        reason: HoldReason,
        /// Until when; `None` where it has no end.
        until: Option<Timestamp>,
    },
    /// Stays: nothing of its kind goes, or of any kind that has no rule of its own.
    Forever(Option<MarkerKind>),
    /// Stays: all points up to this age do.
    Young(Period),
    /// Stays: it stands for its slot.
    Stands {
        /// The slot.
        slot: Slot,
        /// The width of the slots.
        every: Period,
        /// The age up to which there is one a slot.
        until: Period,
    },
    /// Goes: another one stands for the slot that it is in.
    PassedOver {
        /// The other one, which stays.
        by: u64,
        /// The slot.
        slot: Slot,
    },
    /// Goes: nothing of this age is kept.
    TooOld(Period),
}

impl Reason {
    /// Whether the point stays.
    #[must_use]
    pub const fn keeps(&self) -> bool {
        !matches!(self, Reason::PassedOver { .. } | Reason::TooOld(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Newest => f.write_str("newest"),
            Reason::Held { reason, until } => fmt_held(reason, *until, f),
            Reason::Forever(None) => f.write_str("all points, forever"),
            Reason::Forever(Some(kind)) => write!(f, "all {} points, forever", kind.word()),
            Reason::Young(until) => write!(f, "all points younger than {until}"),
            Reason::Stands { slot, every, until } => {
                write!(f, "the one of {slot} (every {every} up to {until})")
            }
            Reason::PassedOver { by, slot } => {
                write!(f, "passed over: point {by} stands for {slot}")
            }
            Reason::TooOld(until) => write!(f, "older than {until}"),
        }
    }
}

fn fmt_held(
    reason: &HoldReason,
    until: Option<Timestamp>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match reason {
        HoldReason::Pinned(_) => f.write_str("pinned")?,
        HoldReason::InUse(by) => write!(f, "in use by {by}")?,
    }
    if let Some(until) = until {
        write!(f, " until {}", InWords(until))?;
    }
    match reason {
        HoldReason::Pinned(why) if !why.is_empty() => write!(f, " ({why:?})"),
        _ => Ok(()),
    }
}
