//! Names and keys: whatever becomes part of a path.

use std::path::{Component, Path};

use afterimage_cache::{segment_key, segment_number, stream_prefix};
use afterimage_changelog::{Name, limits::NUMBER_MAX};
use afterimage_recovery::name::{boundary_key, manifest_key, manifest_prefix, number};
use afterimage_storage::Key;

use crate::{choices::Choices, sample::group};

/// Makes names and keys of any text. What is accepted stays inside a folder that it is joined to, and
/// a number in a key is the one number that gives that key.
///
/// # Panics
///
/// Where that does not hold.
pub fn names(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let value = choices.u64();
    check_numbers(value);
    let Ok(text) = str::from_utf8(choices.rest()) else {
        return;
    };
    if let Ok(name) = Name::new(text) {
        assert!((1..=63).contains(&text.len()) && !text.starts_with('-'));
        assert!(
            text.bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        );
        assert_eq!(name.as_str(), text);
        let key = segment_key(&name, &name, value);
        assert!(key.is_under(&stream_prefix(&name, &name)));
    }
    if let Ok(key) = Key::new(text) {
        assert_eq!(key.as_str(), text);
        let path = Path::new(text);
        assert!(
            path.components()
                .all(|part| matches!(part, Component::Normal(_)))
        );
        assert_eq!(path.components().count(), key.parts().count());
        if let Some(found) = segment_number(&key) {
            assert_eq!(
                key.parts().next_back(),
                segment_key(&group(), &group(), found).parts().next_back()
            );
        }
        if let Some(found) = number(&key) {
            assert_eq!(
                key.parts().next_back(),
                manifest_key(&group(), found).parts().next_back()
            );
        }
    }
}

fn check_numbers(value: u64) {
    let group = group();
    let manifest = manifest_key(&group, value);
    assert!(manifest.is_under(&manifest_prefix(&group)));
    let counted = (value <= NUMBER_MAX).then_some(value);
    assert_eq!(number(&manifest), counted);
    assert_eq!(number(&boundary_key(&group, value)), counted);
    assert_eq!(
        segment_number(&segment_key(&group, &group, value)),
        Some(value)
    );
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "shop",
        "shop/main/00000000000000000007.seg",
        "shop/manifest/00000000000000000012",
        "shop/layers/3/0123456789abcdef.layer",
        "../shop",
        "shop/manifest/99999999999999999999",
    ];
    let seeds = texts
        .iter()
        .map(|text| [&[255; 8], text.as_bytes()].concat());
    seeds.collect()
}
