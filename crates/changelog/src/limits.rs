//! Every bound that a decoder relies on. Checked before anything is allocated.

/// Raw bytes of a frame where nothing else is said.
pub const FRAME_BYTES_DEFAULT: u32 = 64 << 10;
/// Raw bytes of the largest frame.
pub const FRAME_BYTES_MAX: u32 = 1 << 20;
/// Stored bytes of the largest segment or layer.
pub const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// Frames in one segment or layer.
pub const FRAMES_MAX: u32 = 65_536;
/// Frames that one index refers to.
pub const INDEX_FRAMES_MAX: u32 = 1 << 18;
/// Rows in one segment or layer.
pub const ROWS_MAX: u64 = 1 << 22;
/// Markers in one segment.
pub const MARKERS_MAX: u32 = 65_536;
/// Disks in one stream or group.
pub const DISKS_MAX: u16 = 256;
/// Bytes of the largest disk: 64 TiB.
pub const DISK_BYTES_MAX: u64 = 64 << 40;
/// The largest sequence, epoch, segment or manifest number, point's id or replica's count. Counting
/// never gets there, so what has been decoded always has a next one.
pub const NUMBER_MAX: u64 = 1 << 62;
/// Bytes of a name.
pub const NAME_BYTES_MAX: usize = 63;
/// Bytes of a marker's text.
pub const MARKER_TEXT_BYTES_MAX: usize = 200;
/// Bytes of a container's header.
pub const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Bytes of a container's directory.
pub const DIRECTORY_BYTES_MAX: u32 = 32 << 20;
/// Rows in a full page of the index.
pub const ROWS_PER_PAGE: u32 = 2048;
/// Frame entries in a full page of the index.
pub const FRAMES_PER_PAGE: u32 = 1024;
