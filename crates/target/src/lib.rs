//! The disk applier of Afterimage: restore, replica disks.
