//! Markers: records that say "a point may be cut here".

use crate::{
    error::{DecodeError, Fault},
    limits::MARKER_TEXT_BYTES_MAX,
    units::{ObjectId, Sequence, Timestamp},
    wire::{Put, Take},
};

/// What a point cut at the marker promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarkerKind {
    /// The disks as a power cut at that instant would have left them.
    Crash,
    /// The applications had flushed and paused.
    Application,
    /// Someone asked for it, by name.
    User,
}

impl MarkerKind {
    /// The stored form.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            MarkerKind::Crash => 1,
            MarkerKind::Application => 2,
            MarkerKind::User => 3,
        }
    }

    /// Reads the stored form.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<MarkerKind> {
        match code {
            1 => Some(MarkerKind::Crash),
            2 => Some(MarkerKind::Application),
            3 => Some(MarkerKind::User),
            _ => None,
        }
    }

    /// The word that people and JSON see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            MarkerKind::Crash => "crash",
            MarkerKind::Application => "application",
            MarkerKind::User => "user",
        }
    }
}

/// A marker of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Where it stands in the stream.
    pub sequence: Sequence,
    /// What it promises.
    pub kind: MarkerKind,
    /// The time at the source.
    pub time: Timestamp,
    /// Shared by the markers of one cut through all streams of a group.
    pub cut: ObjectId,
    /// Text for people: at most 200 bytes, no control characters.
    pub name: String,
}

/// Makes any text fit to be a marker's name: control characters become `?`, the end is cut off.
#[must_use]
pub fn marker_name(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars() {
        let letter = if letter.is_control() { '?' } else { letter };
        if name.len() + letter.len_utf8() > MARKER_TEXT_BYTES_MAX {
            break;
        }
        name.push(letter);
    }
    name
}

impl Marker {
    /// Puts the marker.
    pub fn put(&self, out: &mut Put) {
        let Marker {
            sequence,
            kind,
            time,
            cut,
            name,
        } = self;
        out.u64(sequence.0);
        out.u64(time.0);
        out.bytes(&cut.0);
        out.u8(kind.code());
        out.text(name);
    }

    /// Takes a marker.
    ///
    /// # Errors
    ///
    /// An unknown kind, a name that is no text, an end inside it.
    pub fn take(input: &mut Take<'_>) -> Result<Marker, DecodeError> {
        let sequence = Sequence(input.u64()?);
        let time = Timestamp(input.u64()?);
        let cut = ObjectId(input.array()?);
        let here = input.clone();
        let kind = MarkerKind::from_code(input.u8()?)
            .ok_or_else(|| here.error(Fault::Field("a marker kind")))?;
        let name = input.text(MARKER_TEXT_BYTES_MAX)?;
        Ok(Marker {
            sequence,
            kind,
            time,
            cut,
            name,
        })
    }
}
