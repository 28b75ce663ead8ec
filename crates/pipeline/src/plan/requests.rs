//! What is sent to object stores for a segment, a point and a pruning. Every number that says how the
//! code talks to a store is in this file: whoever changes what the code sends changes it here, and the small
//! case that `tests.rs` works out by hand.

use std::ops::{Add, Mul};

use afterimage_changelog::{
    container::BILLED_TAIL_BYTES,
    count,
    limits::{FRAME_BYTES_DEFAULT, OBJECT_BYTES_MAX},
};
use afterimage_fetch::BILLED_RUN_BYTES_MAX;
use afterimage_recovery::IndexLimits;
use afterimage_storage::{DELETES_MAX, LOOK_BYTES, PART_BYTES, Provider};

/// Average requests, by the kinds of [`Requests`](afterimage_storage::Requests); a fraction where
/// something is sent for several together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanRequests {
    /// Objects, parts of them, and what begins, ends and copies them.
    pub puts: f64,
    /// Objects and ranges of them.
    pub gets: f64,
    /// Sizes.
    pub heads: f64,
    /// Pages of listings.
    pub lists: f64,
    /// Deletes, one by one or in bulk.
    pub deletes: f64,
}

impl MeanRequests {
    /// Puts, gets, heads, lists and deletes.
    #[must_use]
    pub const fn counts(&self) -> [f64; 5] {
        [self.puts, self.gets, self.heads, self.lists, self.deletes]
    }
}

/// How many requests the code sends for what, to the stores of one provider.
///
/// A request that is tried again, and what a worker sends once when it begins, is not counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestModel {
    // A segment, all to the cache.
    segment_puts: f64,
    segment_heads: f64,
    tail_gets: f64,
    tail_heads: f64,
    header_gets: f64,
    early_looks: f64,
    deletes_together: f64,
    // A layer that is larger than one request, to the target.
    upload_puts: f64,
    upload_heads: f64,
    upload_deletes: f64,
    is_read_back: bool,
    // A commit of a manifest, to the target.
    commit_puts: f64,
    commit_gets: f64,
    commit_heads: f64,
    // What a merged index over layers takes, to the target.
    indexing_gets: f64,
    layers_an_index: f64,
    // A pruning beside its commit, to the target.
    pruning_puts: f64,
    pruning_lists: f64,
    pruning_deletes: f64,
    // A collection without a pruning.
    collection_puts: f64,
    collection_lists: f64,
    collection_deletes: f64,
}

impl RequestModel {
    /// The requests to a provider.
    #[must_use]
    pub fn of(provider: Provider) -> RequestModel {
        let s3 = RequestModel {
            // `cache::StreamWriter::seal` creates it: one request, whatever its size.
            segment_puts: 1.0,
            // `cache::StreamWriter::is_taken_over` asks for the claim to the next epoch.
            segment_heads: 1.0,
            // `cache::load_segment` reads its end, and with it the index.
            tail_gets: 1.0,
            // Only Azure is asked for the size before, by `RemoteStore::read_tail`.
            tail_heads: 0.0,
            // `changelog::Container::open` reads its header, where the end does not hold it.
            header_gets: 1.0,
            // `SegmentsAhead::go_on`, and `Reading::run` before it waits, look for the next one at once.
            early_looks: 2.0,
            // `RemoteStore::delete_all` and the client below it, for `stages::Acknowledger`.
            deletes_together: DELETES_MAX as f64,
            // `RemoteUpload`: begins, completes, and copies with the three requests of another upload.
            upload_puts: 5.0,
            // Nobody looks at a copy that was reported as done.
            upload_heads: 0.0,
            // `RemoteUpload::finish` deletes what was put together.
            upload_deletes: 1.0,
            // Only of Azure a copy is read back.
            is_read_back: false,
            // `recovery::Committer::commit` creates the manifest.
            commit_puts: 1.0,
            // It reads it back.
            commit_gets: 1.0,
            // It asks for the claim to the next epoch.
            commit_heads: 1.0,
            // `recovery::write_index` opens each layer once, and then each index, by its end.
            indexing_gets: 1.0,
            layers_an_index: IndexLimits::default().fan_out as f64,
            // `recovery::mark_pruning`, and the boundary of `recovery::Collector::collect`.
            pruning_puts: 2.0,
            // The holds before it decides and before it collects; boundaries behind the new one.
            pruning_lists: 3.0,
            // The mark; the boundary before; manifests; what they alone named.
            pruning_deletes: 4.0,
            // `recovery::Collector::collect`: the boundary; the holds, and boundaries behind the new one; the
            // boundary before and manifests.
            collection_puts: 1.0,
            collection_lists: 2.0,
            collection_deletes: 2.0,
        };
        match provider {
            Provider::S3 => s3,
            Provider::Azure => RequestModel {
                // `RemoteStore::read_tail` asks for the size: Azure has no ranges from the end.
                tail_heads: 1.0,
                // The client puts so many deletes into one request.
                deletes_together: 256.0,
                // Completes and copies; nothing begins an upload.
                upload_puts: 2.0,
                // `storage::remote::create` looks at the copy, and reads it back.
                upload_heads: 1.0,
                is_read_back: true,
                ..s3
            },
            Provider::Google => RequestModel {
                // The client deletes one by one.
                deletes_together: 1.0,
                // Begins, completes and copies.
                upload_puts: 3.0,
                ..s3
            },
        }
    }

    /// Requests to the cache for a segment of so many stored bytes, of which so many come before the next
    /// point, and before which a worker looks in vain so many times for want of it.
    #[must_use]
    pub fn segment(&self, bytes: f64, ratio: f64, a_point: f64, looks: f64) -> MeanRequests {
        let looks = looks + self.early_looks * looks.min(1.0);
        let header_gets = self.headers(bytes);
        // A run ends with a frame, so the last one that would fit is left to the next run.
        let run_bytes = BILLED_RUN_BYTES_MAX as f64 - ratio * f64::from(FRAME_BYTES_DEFAULT);
        let frame_gets = (bytes / run_bytes).ceil();
        // Of no size at Azure there is no end to be read.
        let (look_gets, look_heads) = if self.tail_heads > 0.0 {
            (0.0, looks)
        } else {
            (looks, 0.0)
        };
        let deletes = if a_point < 1.0 {
            1.0
        } else {
            (a_point / self.deletes_together).ceil() / a_point
        };
        MeanRequests {
            puts: self.segment_puts,
            gets: self.tail_gets + header_gets + frame_gets + look_gets,
            heads: self.segment_heads + self.tail_heads + look_heads,
            lists: silence_lists(looks),
            deletes,
        }
    }

    /// Requests to the target for a point whose layers have so many stored bytes.
    #[must_use]
    pub fn point(&self, bytes: f64) -> MeanRequests {
        let full = OBJECT_BYTES_MAX as f64;
        let rest = bytes % full;
        let layer = |bytes| self.layer(bytes) + self.indexing(bytes);
        let layers = layer(full) * (bytes / full).floor();
        let last = if rest > 0.0 {
            layer(rest)
        } else {
            MeanRequests::default()
        };
        layers + last + self.commit()
    }

    /// Requests for the header of an object: the end holds all of a small one.
    fn headers(&self, bytes: f64) -> f64 {
        if bytes > BILLED_TAIL_BYTES as f64 {
            self.header_gets
        } else {
            0.0
        }
    }

    /// The share of a layer in the indexes over it, and in those over them.
    fn indexing(&self, bytes: f64) -> MeanRequests {
        // A 32nd, and a 32nd of that, and so on.
        let indexes = 1.0 / (self.layers_an_index - 1.0);
        let opened = MeanRequests {
            gets: (self.indexing_gets + self.headers(bytes)) * (1.0 + indexes),
            heads: self.tail_heads * (1.0 + indexes),
            ..MeanRequests::default()
        };
        let written = MeanRequests {
            puts: 1.0,
            ..MeanRequests::default()
        };
        opened + (written + self.commit()) * indexes
    }

    /// Requests to the target for a pruning, with its commit and what gives space back after it.
    #[must_use]
    pub fn pruning(&self) -> MeanRequests {
        let beside = MeanRequests {
            puts: self.pruning_puts,
            lists: self.pruning_lists,
            deletes: self.pruning_deletes,
            ..MeanRequests::default()
        };
        beside + self.commit()
    }

    /// Bytes that are read back of layers of so many stored bytes.
    #[must_use]
    pub fn read_back(&self, bytes: f64) -> f64 {
        let is_large = bytes > count(PART_BYTES) as f64;
        if self.is_read_back && is_large {
            bytes
        } else {
            0.0
        }
    }

    /// Requests to the target for giving space back where nothing is pruned.
    #[must_use]
    pub fn collection(&self) -> MeanRequests {
        MeanRequests {
            puts: self.collection_puts,
            lists: self.collection_lists,
            deletes: self.collection_deletes,
            ..MeanRequests::default()
        }
    }

    fn commit(&self) -> MeanRequests {
        MeanRequests {
            puts: self.commit_puts,
            gets: self.commit_gets,
            heads: self.commit_heads,
            lists: 0.0,
            deletes: 0.0,
        }
    }

    fn layer(&self, bytes: f64) -> MeanRequests {
        let part_bytes = count(PART_BYTES) as f64;
        if bytes <= part_bytes {
            return MeanRequests {
                puts: 1.0,
                ..MeanRequests::default()
            };
        }
        MeanRequests {
            puts: (bytes / part_bytes).ceil() + self.upload_puts,
            gets: (self.read_back(bytes) / LOOK_BYTES as f64).ceil(),
            heads: self.upload_heads,
            lists: 0.0,
            deletes: self.upload_deletes,
        }
    }
}

/// Lists of the cache while it is silent, by `driver::read`: after 64 looks in vain, 128, 256 and so on.
fn silence_lists(looks: f64) -> f64 {
    if looks < 64.0 {
        return 0.0;
    }
    (looks / 64.0).log2().floor() + 1.0
}

impl Add for MeanRequests {
    type Output = MeanRequests;

    fn add(self, other: MeanRequests) -> MeanRequests {
        MeanRequests {
            puts: self.puts + other.puts,
            gets: self.gets + other.gets,
            heads: self.heads + other.heads,
            lists: self.lists + other.lists,
            deletes: self.deletes + other.deletes,
        }
    }
}

impl Mul<f64> for MeanRequests {
    type Output = MeanRequests;

    fn mul(self, times: f64) -> MeanRequests {
        MeanRequests {
            puts: self.puts * times,
            gets: self.gets * times,
            heads: self.heads * times,
            lists: self.lists * times,
            deletes: self.deletes * times,
        }
    }
}
