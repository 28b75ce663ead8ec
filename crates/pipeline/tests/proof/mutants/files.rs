//! Syncs of files and directories that do nothing and say they did, or that are tried again.

use std::{io, path::Path, sync::Arc};

use afterimage::storage::{Contents, Draft, Files, Listed, Part};

use super::{Sweep, killed};
use crate::support::Wraps;

/// Says of a path whether its syncs are broken.
type Class = fn(&Path) -> bool;

/// Files some of whose syncs are broken.
#[derive(Clone, Debug)]
struct Broken {
    files: Arc<dyn Files>,
    /// The directories of drafts whose sync does nothing.
    drafts: Class,
    /// Directories whose sync does nothing.
    dirs: Class,
    /// Whether a sync that failed is tried once more.
    retries: bool,
}

const NONE: Class = |_| false;

fn broken(files: Arc<dyn Files>, drafts: Class, dirs: Class) -> Arc<dyn Files> {
    Arc::new(Broken {
        files,
        drafts,
        dirs,
        retries: false,
    })
}

fn is_layers(path: &Path) -> bool {
    path.starts_with("/srv/target/shop/layers")
}

fn is_manifests(path: &Path) -> bool {
    path.ends_with("manifest")
}

fn is_cache(path: &Path) -> bool {
    path.starts_with("/srv/cache")
}

fn is_kept(path: &Path) -> bool {
    path.starts_with("/srv/target/shop/kept")
}

fn is_restored(path: &Path) -> bool {
    path.starts_with("/srv/restored")
}

impl Broken {
    fn sync(&self, mut sync: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        match sync() {
            Err(_) if self.retries => sync(),
            done => done,
        }
    }
}

impl Files for Broken {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.files.make_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if (self.dirs)(path) {
            return Ok(());
        }
        self.sync(|| self.files.sync_dir(path))
    }

    fn draft(&self, dir: &Path) -> io::Result<Box<dyn Draft>> {
        Ok(Box::new(BrokenDraft {
            draft: self.files.draft(dir)?,
            skips: (self.drafts)(dir),
            files: self.clone(),
        }))
    }

    fn read(&self, path: &Path, part: &Part) -> io::Result<Contents> {
        self.files.read(path, part)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.files.size(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.files.list(dir)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.files.unlink(path)
    }
}

#[derive(Debug)]
struct BrokenDraft {
    draft: Box<dyn Draft>,
    skips: bool,
    files: Broken,
}

impl Draft for BrokenDraft {
    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        self.draft.write(pieces)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.skips {
            return Ok(());
        }
        self.files.sync(|| self.draft.sync())
    }

    fn link(&mut self, path: &Path) -> io::Result<()> {
        self.draft.link(path)
    }
}

#[test]
fn a_layer_that_is_not_synced_is_noticed() {
    let files = |files| broken(files, is_layers, NONE);
    killed(
        "layer data not synced",
        Sweep::Crashes,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}

#[test]
fn a_manifest_that_is_not_synced_is_noticed() {
    let files = |files| broken(files, is_manifests, NONE);
    killed(
        "manifest data not synced",
        Sweep::Crashes,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}

#[test]
fn a_segment_that_is_not_synced_is_noticed() {
    let files = |files| broken(files, is_cache, NONE);
    killed(
        "segment data not synced",
        Sweep::Crashes,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}

#[test]
fn the_name_of_a_layer_that_is_not_synced_is_noticed() {
    let files = |files| broken(files, NONE, is_layers);
    killed(
        "directory of layers not synced",
        Sweep::Crashes,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}

#[test]
fn the_name_of_a_manifest_that_is_not_synced_is_noticed() {
    let files = |files| broken(files, NONE, is_manifests);
    killed(
        "directory of manifests not synced",
        Sweep::Crashes,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}

#[test]
fn the_name_of_a_segment_that_is_not_synced_is_noticed() {
    let files = |files| broken(files, NONE, is_cache);
    killed(
        "directory of segments not synced",
        Sweep::Crashes,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}

#[test]
fn the_name_of_a_restored_disk_that_is_not_synced_is_noticed() {
    let files = |files| broken(files, NONE, is_restored);
    killed(
        "directory of restored disks not synced",
        Sweep::Crashes,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}

#[test]
fn a_failed_sync_that_is_tried_again_is_noticed() {
    let files = |files| -> Arc<dyn Files> {
        Arc::new(Broken {
            files,
            drafts: NONE,
            dirs: NONE,
            retries: true,
        })
    };
    killed(
        "failed sync tried again",
        Sweep::Faults,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}

#[test]
fn a_kept_segment_that_is_not_synced_is_noticed() {
    let files = |files| broken(files, is_kept, NONE);
    killed(
        "kept segment not synced",
        Sweep::Rewind,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}

#[test]
fn the_name_of_a_kept_segment_that_is_not_synced_is_noticed() {
    let files = |files| broken(files, NONE, is_kept);
    killed(
        "directory of kept segments not synced",
        Sweep::Rewind,
        Wraps {
            files,
            ..Wraps::NONE
        },
    );
}
