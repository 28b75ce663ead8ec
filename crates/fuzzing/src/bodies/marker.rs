//! Markers, and the other parts that stand inside larger ones: positions and tables of disks.

use afterimage_changelog::{
    Marker, MarkerKind, ObjectId, Position, Row, Sequence, Timestamp,
    disk::{put_table, take_table},
    marker::marker_name,
    row::ROW_BYTES,
    wire::{Put, Take},
};

use crate::{choices::Choices, spoil::spoiled};

/// Takes parts off the front of bytes; each that is accepted encodes to the bytes it was taken from.
///
/// # Panics
///
/// Where one does not.
pub fn marker(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let is_marker = choices.flag();
    let input = if is_marker {
        spoiled(&valid(), &mut choices)
    } else {
        choices.rest().to_vec()
    };
    same(&input, Marker::take, Marker::put);
    same(&input, Position::take, Position::put);
    same(&input, take_table, |table, out| put_table(table, out));
    same(&input, Row::take, |row, out| out.bytes(&row.encode()));
    if let Ok(text) = str::from_utf8(&input) {
        let name = marker_name(text);
        assert!(name.len() <= 200 && !name.contains(char::is_control));
    }
}

fn same<T, E>(
    input: &[u8],
    take: impl FnOnce(&mut Take<'_>) -> Result<T, E>,
    put: impl FnOnce(&T, &mut Put),
) {
    let mut rest = Take::new("part", input);
    if let Ok(part) = take(&mut rest) {
        let mut out = Put::default();
        put(&part, &mut out);
        assert_eq!(
            input.get(..input.len() - rest.left()),
            Some(out.0.as_slice())
        );
    }
}

fn valid() -> Vec<u8> {
    let mut out = Put::default();
    let marker = Marker {
        sequence: Sequence(9),
        kind: MarkerKind::User,
        time: Timestamp(1_600_000_000_000_000),
        cut: ObjectId([5; 16]),
        name: "before the update".to_owned(),
    };
    marker.put(&mut out);
    out.0
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let table = [&[0, 1, 0], 512u64.to_le_bytes().as_slice(), &[9, 3], b"one"].concat();
    let mut row = vec![0; 1 + ROW_BYTES];
    row.splice(1..10, [1, 1, 0, 0, 8, 0, 0, 0, 64]);
    let seeds = [
        vec![1],
        vec![1, 0, 32, 0, 3],
        vec![1, 0, 33, 0, 255],
        table,
        row,
    ];
    seeds
        .into_iter()
        .chain([[vec![0], valid()].concat()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valid_marker_is_accepted() {
        assert!(Marker::take(&mut Take::new("marker", &valid())).is_ok());
    }
}
