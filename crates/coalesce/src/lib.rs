//! The operator of Afterimage: ordered runs of extents in, live extents out.
