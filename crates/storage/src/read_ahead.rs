//! Reading early what will be asked for.

use std::fmt::Debug;

use bytes::Bytes;

use crate::error::StoreError;

/// Ranges that a store fetches before they are asked for. Dropping it gives them up.
pub trait ReadAhead: Debug + Send + Sync {
    /// The bytes of the range of this number, once; waits for them. `None` where they were taken
    /// before or there is no such range: whoever wants them then reads them.
    fn take(&self, number: usize) -> Option<Result<Bytes, StoreError>>;
}
