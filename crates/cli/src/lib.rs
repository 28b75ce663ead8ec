//! The afterimage command.
