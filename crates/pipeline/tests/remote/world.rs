//! A source that knows its disk at each point, and stores on servers.

use std::{net::SocketAddr, sync::Arc};

use afterimage::{
    MarkerKind, Name, PointSelector, Points, Timestamp,
    cache::{CacheError, SegmentLimits, StreamWriter, WriterOptions},
    changelog::{Disk, ObjectId, SectorSize},
    storage::{Address, Nonces, RemoteStore, Store, StoreError},
};
use afterimage_testkit::{
    PlainDisk, Random,
    servers::{Kind, Server, not_run},
};

pub(crate) const DISK_BYTES: u64 = 1 << 20;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A server, or `None` where it cannot be had, which is said.
pub(crate) fn server(kind: Kind, what: &str) -> Option<Server> {
    match Server::start(kind) {
        Ok(server) => Some(server),
        Err(why) => {
            not_run(&format!("{what} on {kind:?}"), &why);
            None
        }
    }
}

/// A store on a server, reached at `addr`, with more options behind its URL.
pub(crate) fn store(
    server: &Server,
    addr: SocketAddr,
    prefix: &str,
    options: &str,
) -> Result<RemoteStore, StoreError> {
    let url = format!("{}{options}", server.url(addr, prefix));
    let address = Address::parse(&url).unwrap().unwrap();
    RemoteStore::connect_with(address, server.settings())
}

/// Writes records and remembers the disk at each marker.
pub(crate) struct Source {
    writer: StreamWriter,
    nonces: Arc<Nonces>,
    random: Random,
    plain: PlainDisk,
    pub(crate) at_marker: Vec<Vec<u8>>,
}

impl Source {
    pub(crate) fn new(cache: Arc<dyn Store>, seed: u64) -> Result<Source, CacheError> {
        let nonces = Arc::new(Nonces::from_os());
        let options = WriterOptions {
            group: name("shop"),
            stream: name("main"),
            disks: vec![Disk::new(name("root"), DISK_BYTES, SectorSize::B512).unwrap()],
            limits: SegmentLimits::default(),
            level: 1,
        };
        Ok(Source {
            writer: StreamWriter::open(cache, Arc::clone(&nonces), options)?,
            nonces,
            random: Random::new(seed),
            plain: PlainDisk::new(DISK_BYTES),
            at_marker: Vec::new(),
        })
    }

    /// Some writes, a marker, and a segment that holds them.
    pub(crate) fn interval(&mut self) -> Result<(), CacheError> {
        let now = Timestamp(1_000_000 * (1 + u64::try_from(self.at_marker.len()).unwrap()));
        for _ in 0..8 {
            let sectors = 1 + self.random.below(16);
            let start = self.random.below(DISK_BYTES / 512 - sectors);
            let mut data = vec![0; usize::try_from(sectors * 512).unwrap()];
            self.random.fill(&mut data);
            self.writer.write(0, start, &data, now)?;
            self.plain.write(start * 512, &data);
        }
        let cut = ObjectId(self.nonces.next());
        let marker = format!("m{}", self.at_marker.len());
        self.writer.mark(MarkerKind::User, &marker, cut, now)?;
        self.writer.seal()?;
        self.at_marker.push(self.plain.bytes().to_vec());
        Ok(())
    }

    /// Every point that is there is the disk at its marker; gives how many there are.
    pub(crate) fn check(&self, target: &Arc<dyn Store>) -> usize {
        self.check_newest(target, usize::MAX)
    }

    /// The newest points, so many of them, are the disk at their markers; gives how many there are in
    /// all.
    pub(crate) fn check_newest(&self, target: &Arc<dyn Store>, most: usize) -> usize {
        let points = Points::load(target, &name("shop")).unwrap();
        for point in points.list().iter().rev().take(most) {
            let number: usize = point.name.strip_prefix('m').unwrap().parse().unwrap();
            let reader = points.open(&PointSelector::Id(point.id)).unwrap();
            let mut disk = vec![0; usize::try_from(DISK_BYTES).unwrap()];
            reader.read_at(&name("root"), 0, &mut disk).unwrap();
            assert!(
                Some(&disk) == self.at_marker.get(number),
                "point {}",
                point.name
            );
        }
        points.list().len()
    }
}
