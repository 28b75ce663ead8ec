//! Which objects to read a stretch of layers from: the fewest, large indexes first.

use std::{collections::HashMap, ops::Range};

use afterimage_changelog::{ObjectId, size};

use crate::manifest::{IndexRef, LayerRef, Manifest};

/// One run of rows in address order: a layer, or an index over several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Layer(&'a LayerRef),
    Index(&'a IndexRef),
}

impl<'a> Piece<'a> {
    /// Its objects, and of each whether it is one of an index.
    pub(crate) fn objects(&self) -> Vec<(bool, &'a LayerRef)> {
        match self {
            Piece::Layer(layer) => vec![(false, *layer)],
            Piece::Index(index) => index.objects.iter().map(|object| (true, object)).collect(),
        }
    }
}

/// The layers of a manifest in order, and the indexes over them by the layer they begin with.
#[derive(Debug)]
pub(crate) struct Layers<'a> {
    pub(crate) all: Vec<&'a LayerRef>,
    indexes: HashMap<ObjectId, Vec<&'a IndexRef>>,
}

impl<'a> Layers<'a> {
    pub(crate) fn new(manifest: &'a Manifest) -> Layers<'a> {
        let mut indexes: HashMap<ObjectId, Vec<&IndexRef>> = HashMap::new();
        for index in &manifest.indexes {
            indexes.entry(index.first).or_default().push(index);
        }
        for known in indexes.values_mut() {
            known.sort_by_key(|index| std::cmp::Reverse(index.layers));
        }
        Layers {
            all: manifest.layers().collect(),
            indexes,
        }
    }

    /// The pieces that cover a stretch, oldest first.
    pub(crate) fn cover(&self, stretch: Range<usize>) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let mut at = stretch.start;
        while let Some(&layer) = self.all.get(at).filter(|_| at < stretch.end) {
            let fits = |index: &&&IndexRef| at + size(u64::from(index.layers)) <= stretch.end;
            let known = self.indexes.get(&layer.id);
            match known.and_then(|known| known.iter().find(fits)) {
                Some(index) => {
                    pieces.push(Piece::Index(index));
                    at += size(u64::from(index.layers)).max(1);
                }
                None => {
                    pieces.push(Piece::Layer(layer));
                    at += 1;
                }
            }
        }
        pieces
    }
}
