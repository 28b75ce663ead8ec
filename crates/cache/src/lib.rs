//! The change-log cache of Afterimage: writer and reader of segments.
