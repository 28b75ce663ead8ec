//! What a stream says of its disks.

use crate::{
    error::{DecodeError, Fault},
    limits::{DISK_BYTES_MAX, DISKS_MAX},
    name::Name,
    units::{SECTOR, SectorSize},
    wire::{Put, Take},
};

/// A disk of a stream or group: its name and its geometry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    /// Its name, unique in the group.
    pub name: Name,
    /// Its size in sectors of 512 bytes.
    pub sectors: u64,
    /// The sector size it presents.
    pub sector_size: SectorSize,
}

impl Disk {
    /// A disk of `bytes` bytes; `None` where that is zero, over 64 TiB or no multiple of the
    /// sector size.
    #[must_use]
    pub fn new(name: Name, bytes: u64, sector_size: SectorSize) -> Option<Disk> {
        let fits =
            bytes > 0 && bytes <= DISK_BYTES_MAX && bytes.is_multiple_of(sector_size.bytes());
        fits.then_some(Disk {
            name,
            sectors: bytes / SECTOR,
            sector_size,
        })
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.sectors * SECTOR
    }

    /// Whether a run of sectors lies on the disk and on its own sector boundaries.
    #[must_use]
    pub fn holds(&self, start: u64, sectors: u64) -> bool {
        let step = self.sector_size.bytes() / SECTOR;
        start
            .checked_add(sectors)
            .is_some_and(|end| end <= self.sectors)
            && start.is_multiple_of(step)
            && sectors.is_multiple_of(step)
    }
}

/// Puts a table of disks: a 16-bit count, then each one.
///
/// # Panics
///
/// With more than 256 disks.
pub fn put_table(disks: &[Disk], out: &mut Put) {
    let number = u16::try_from(disks.len())
        .ok()
        .filter(|&number| number <= DISKS_MAX);
    out.u16(number.expect("a stream has at most 256 disks"));
    for Disk {
        name,
        sectors,
        sector_size,
    } in disks
    {
        out.u64(*sectors);
        out.u8(sector_size.code());
        out.text(name.as_str());
    }
}

/// Takes a table of disks.
///
/// # Errors
///
/// Too many, a size that no disk has, a name twice.
pub fn take_table(input: &mut Take<'_>) -> Result<Vec<Disk>, DecodeError> {
    let number = input.u16()?;
    if number > DISKS_MAX {
        return Err(input.error(Fault::Limit("the number of disks")));
    }
    let mut disks: Vec<Disk> = Vec::with_capacity(usize::from(number));
    for _ in 0..number {
        let here = input.clone();
        let sectors = input.u64()?;
        let sector_size = SectorSize::from_code(input.u8()?)
            .ok_or_else(|| here.error(Fault::Field("a sector size")))?;
        let name = input.name()?;
        let disk = sectors
            .checked_mul(SECTOR)
            .and_then(|bytes| Disk::new(name, bytes, sector_size))
            .ok_or_else(|| here.error(Fault::Field("a disk size")))?;
        if disks.iter().any(|other| other.name == disk.name) {
            return Err(here.error(Fault::Field("a disk name, given twice,")));
        }
        disks.push(disk);
    }
    Ok(disks)
}
