//! Nouns and bytes of Afterimage: units, records, the container of segments and layers.
