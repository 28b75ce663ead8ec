//! The two seams of Afterimage to the world: objects and disks.
