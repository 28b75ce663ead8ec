//! The files of a [`World`]: directories and files with what is pending on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    path::{Component, Path},
    sync::Arc,
};

use afterimage_storage::{Contents, Draft, Files, Listed, Part};
use bytes::Bytes;

use crate::{
    random::Random,
    world::{Fault, Machine, World},
};

/// Bytes of a file write that are never torn.
const SECTOR: usize = 512;

/// Number of a file or directory; the root is 0.
pub(crate) type NodeId = u64;
const ROOT: NodeId = 0;

/// All files and directories that have a name, had one, or will have one after some crash.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Arc<BTreeMap<NodeId, Placed>>,
    /// The nodes of which a crash may leave something else than what is visible.
    unsettled: BTreeSet<NodeId>,
    next: NodeId,
}

/// A node and the one name it was given.
#[derive(Clone, Debug)]
struct Placed {
    above: NodeId,
    name: Arc<str>,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Dir(Arc<DirState>),
    File(Arc<FileState>),
}

#[derive(Clone, Debug, Default)]
struct DirState {
    visible: BTreeMap<Arc<str>, NodeId>,
    durable: BTreeMap<Arc<str>, NodeId>,
    /// What each name meant since the last sync, oldest first.
    pending: BTreeMap<Arc<str>, Vec<Option<NodeId>>>,
}

#[derive(Clone, Debug, Default)]
struct FileState {
    content: Arc<Vec<u8>>,
    /// Bytes that are not synced, in pieces that survive or not each for itself.
    pending: Vec<Range<usize>>,
    /// Bytes that a failed sync has given up.
    lost: Vec<Range<usize>>,
}

/// What a crash leaves of a pending piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: the file ends before it, or there are zeroes if anything later is left.
    Nothing,
    /// Zeroes: the size arrived, the bytes did not.
    Zeroes,
    /// The bytes.
    Bytes,
}

/// A pending change of the tree.
#[derive(Clone, Debug)]
pub(crate) enum TreeChoice {
    /// What a name may mean after a crash: first what is durable, then from old to new.
    Name {
        dir: NodeId,
        name: Arc<str>,
        meanings: Vec<Option<NodeId>>,
    },
    /// A piece of a file that may be [`Left`] or not.
    Piece { file: NodeId },
}

impl Tree {
    pub(crate) fn new() -> Tree {
        let root = Placed {
            above: ROOT,
            name: Arc::from(""),
            node: Node::Dir(Arc::default()),
        };
        Tree {
            nodes: Arc::new(BTreeMap::from([(ROOT, root)])),
            unsettled: BTreeSet::new(),
            next: ROOT + 1,
        }
    }

    /// All that is pending, in an order that stays the same until the tree changes.
    pub(crate) fn choices(&self) -> Vec<TreeChoice> {
        let mut choices = Vec::new();
        for &id in &self.unsettled {
            match self.nodes.get(&id).map(|placed| &placed.node) {
                Some(Node::Dir(dir)) => {
                    for (name, meant) in &dir.pending {
                        let durable = std::iter::once(dir.durable.get(name).copied());
                        choices.push(TreeChoice::Name {
                            dir: id,
                            name: Arc::clone(name),
                            meanings: durable.chain(meant.iter().copied()).collect(),
                        });
                    }
                }
                Some(Node::File(file)) => {
                    choices.extend(file.pending.iter().map(|_| TreeChoice::Piece { file: id }));
                }
                None => {}
            }
        }
        choices
    }

    /// Where the node is: its directory and its name; `None` for the root.
    pub(crate) fn place(&self, id: NodeId) -> Option<(NodeId, &Arc<str>)> {
        let placed = self.nodes.get(&id).filter(|_| id != ROOT)?;
        Some((placed.above, &placed.name))
    }

    /// What the name means after a crash, where no change of it is pending.
    pub(crate) fn durable_name(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        self.dir(dir).ok()?.durable.get(name).copied()
    }

    /// What a crash leaves of a file, given what it leaves of its pending pieces in order.
    pub(crate) fn file_after_crash(&self, id: NodeId, pieces: &[Left]) -> Option<Arc<Vec<u8>>> {
        match &self.nodes.get(&id)?.node {
            Node::File(file) => Some(file.after_crash(pieces)),
            Node::Dir(_) => None,
        }
    }

    /// The tree after a crash that left these meanings of pending names and these files.
    pub(crate) fn after_crash(
        &self,
        names: &BTreeMap<(NodeId, Arc<str>), Option<NodeId>>,
        files: &BTreeMap<NodeId, Arc<Vec<u8>>>,
    ) -> Tree {
        let mut tree = self.clone();
        if self.unsettled.is_empty() {
            return tree;
        }
        let nodes = Arc::make_mut(&mut tree.nodes);
        for id in std::mem::take(&mut tree.unsettled) {
            let Some(placed) = nodes.get_mut(&id) else {
                continue;
            };
            match &mut placed.node {
                Node::Dir(dir) => {
                    let mut left = dir.durable.clone();
                    for name in dir.pending.keys() {
                        match names.get(&(id, Arc::clone(name))) {
                            Some(Some(node)) => left.insert(Arc::clone(name), *node),
                            Some(None) => left.remove(name),
                            None => None,
                        };
                    }
                    *dir = Arc::new(DirState {
                        visible: left.clone(),
                        durable: left,
                        pending: BTreeMap::new(),
                    });
                }
                Node::File(file) => {
                    let content = match files.get(&id) {
                        Some(content) => Arc::clone(content),
                        None => file.after_crash(&vec![Left::Nothing; file.pending.len()]),
                    };
                    *file = Arc::new(FileState {
                        content,
                        ..FileState::default()
                    });
                }
            }
        }
        tree
    }

    /// The directory a path is in and its last part.
    fn resolve<'path>(&self, path: &'path Path) -> io::Result<(NodeId, &'path str)> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(io::ErrorKind::InvalidInput)?;
        let above = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(above)?, name))
    }

    /// The node a path means now.
    fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut parts = path.components();
        if parts.next() != Some(Component::RootDir) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "paths are absolute here",
            ));
        }
        let mut at = ROOT;
        for part in parts {
            let Component::Normal(name) = part else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
            let found = self.dir(at)?.visible.get(name);
            at = *found.ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    fn dir(&self, id: NodeId) -> io::Result<&DirState> {
        match self.nodes.get(&id).map(|placed| &placed.node) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file(&self, path: &Path) -> io::Result<&FileState> {
        let id = self.find(path)?;
        match self.nodes.get(&id).map(|placed| &placed.node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn change_dir(&mut self, id: NodeId) -> io::Result<&mut DirState> {
        self.unsettled.insert(id);
        match Arc::make_mut(&mut self.nodes)
            .get_mut(&id)
            .map(|placed| &mut placed.node)
        {
            Some(Node::Dir(dir)) => Ok(Arc::make_mut(dir)),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn change_file(&mut self, id: NodeId) -> io::Result<&mut FileState> {
        self.unsettled.insert(id);
        match Arc::make_mut(&mut self.nodes)
            .get_mut(&id)
            .map(|placed| &mut placed.node)
        {
            Some(Node::File(file)) => Ok(Arc::make_mut(file)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Gives a node a name that is not taken.
    fn place_at(&mut self, path: &Path, node: Node) -> io::Result<NodeId> {
        let (above, name) = self.resolve(path)?;
        if self.dir(above)?.visible.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.next;
        self.next += 1;
        let name: Arc<str> = Arc::from(name);
        let placed = Placed {
            above,
            name: Arc::clone(&name),
            node,
        };
        Arc::make_mut(&mut self.nodes).insert(id, placed);
        let dir = self.change_dir(above)?;
        dir.visible.insert(Arc::clone(&name), id);
        dir.pending.entry(name).or_default().push(Some(id));
        Ok(id)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        let (above, name) = self.resolve(path)?;
        let name: Arc<str> = Arc::from(name);
        let dir = self.change_dir(above)?;
        dir.visible.remove(&name);
        dir.pending.entry(name).or_default().push(None);
        Ok(())
    }

    fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let id = self.find(path)?;
        let dir = self.change_dir(id)?;
        let mut gone = BTreeSet::new();
        for (name, meant) in std::mem::take(&mut dir.pending) {
            gone.extend(dir.durable.get(&name));
            gone.extend(meant.iter().flatten());
            if let Some(Some(node)) = meant.last() {
                gone.remove(node);
                dir.durable.insert(name, *node);
            } else {
                dir.durable.remove(&name);
            }
        }
        if dir.durable == dir.visible {
            self.unsettled.remove(&id);
        }
        // No crash brings these back.
        if !gone.is_empty() {
            let nodes = Arc::make_mut(&mut self.nodes);
            for node in gone {
                nodes.remove(&node);
                self.unsettled.remove(&node);
            }
        }
        Ok(())
    }

    fn drop_pending_names(&mut self, path: &Path) -> io::Result<()> {
        let id = self.find(path)?;
        self.change_dir(id)?.pending.clear();
        Ok(())
    }
}

impl FileState {
    fn append(&mut self, data: &[u8], random: &mut Random) {
        let start = self.content.len();
        Arc::make_mut(&mut self.content).extend_from_slice(data);
        let end = self.content.len();
        // Torn once, between two sectors, where it has any.
        let places = data.len().saturating_sub(1) / SECTOR;
        let places = u64::try_from(places).expect("usize is at most 64 bits");
        let tear = usize::try_from(random.below(places)).expect("it is below a usize") + 1;
        let middle = end.min(start + tear * SECTOR);
        let pieces = [start..middle, middle..end];
        self.pending
            .extend(pieces.into_iter().filter(|piece| !piece.is_empty()));
    }

    fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.lost.is_empty()
    }

    fn drop_pending(&mut self) {
        let dropped = std::mem::take(&mut self.pending);
        self.lost.extend(dropped);
    }

    fn after_crash(&self, pieces: &[Left]) -> Arc<Vec<u8>> {
        if self.is_settled() {
            return Arc::clone(&self.content);
        }
        let pending = self.pending.iter().zip(pieces.iter().copied());
        let lost = self.lost.iter().map(|range| (range, Left::Nothing));
        let mut changed: Vec<(&Range<usize>, Left)> = pending
            .chain(lost)
            .filter(|&(_, left)| left != Left::Bytes)
            .collect();
        changed.sort_by_key(|(range, _)| range.start);

        let mut content = self.content.as_ref().clone();
        let mut end = content.len();
        for (range, left) in changed.into_iter().rev() {
            if left == Left::Nothing && range.end == end {
                end = range.start;
            }
            if let Some(bytes) = content.get_mut(range.clone()) {
                bytes.fill(0);
            }
        }
        content.truncate(end);
        Arc::new(content)
    }
}

/// The [`Files`] of a world.
#[derive(Debug)]
pub(crate) struct SimFiles {
    world: World,
}

impl SimFiles {
    pub(crate) fn new(world: World) -> SimFiles {
        SimFiles { world }
    }
}

impl Files for SimFiles {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.world.lock().operate(|machine| {
            // The root has its name for ever.
            if path.parent().is_none() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let made = machine.tree.place_at(path, Node::Dir(Arc::default()));
            made.map(drop)
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.world.lock();
        let fault = machine.count()?;
        let tree = &mut machine.tree;
        sync(
            fault,
            tree,
            |tree| tree.sync_dir(path),
            |tree| tree.drop_pending_names(path),
        )
    }

    fn draft(&self, dir: &Path) -> io::Result<Box<dyn Draft>> {
        let machine = self.world.lock();
        machine.check_power()?;
        machine.tree.dir(machine.tree.find(dir)?)?;
        Ok(Box::new(SimDraft {
            world: self.world.clone(),
            place: Place::Nowhere(FileState::default()),
        }))
    }

    fn read(&self, path: &Path, part: &Part) -> io::Result<Contents> {
        let machine = self.world.lock();
        machine.check_power()?;
        let content = Arc::clone(&machine.tree.file(path)?.content);
        let size = length(&content);
        let range = part.within(size).ok_or(io::ErrorKind::UnexpectedEof)?;
        let narrow = |at| usize::try_from(at).expect("it is within the content");
        let (start, end) = (narrow(range.start), narrow(range.end));
        Ok(Contents {
            size,
            bytes: Bytes::from_owner(Shared(content)).slice(start..end),
        })
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        let machine = self.world.lock();
        machine.check_power()?;
        Ok(length(&machine.tree.file(path)?.content))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let machine = self.world.lock();
        machine.check_power()?;
        let tree = &machine.tree;
        let names = tree.dir(tree.find(dir)?)?.visible.iter();
        Ok(names
            .map(|(name, &id)| Listed {
                name: name.to_string(),
                is_dir: tree.dir(id).is_ok(),
            })
            .collect())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.world.lock();
        machine.operate(|machine| machine.tree.unlink(path))
    }
}

/// A file on its way to a name. It belongs to the process, so no crash brings it back before it is
/// linked.
#[derive(Debug)]
struct SimDraft {
    world: World,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Nowhere(FileState),
    Linked(NodeId),
}

impl Draft for SimDraft {
    fn write(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let data = pieces.concat();
        let place = &mut self.place;
        self.world.lock().operate(|machine| {
            let mut random = machine.random.clone();
            place.file(machine)?.append(&data, &mut random);
            machine.random = random;
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut machine = self.world.lock();
        let fault = machine.count()?;
        let file = self.place.file(&mut machine)?;
        let synced = sync(
            fault,
            file,
            |file| {
                file.pending.clear();
                Ok(())
            },
            |file| {
                file.drop_pending();
                Ok(())
            },
        );
        let settled = file.is_settled();
        if let (Place::Linked(id), true) = (&self.place, settled) {
            machine.tree.unsettled.remove(id);
        }
        synced
    }

    fn link(&mut self, path: &Path) -> io::Result<()> {
        let place = &mut self.place;
        self.world.lock().operate(|machine| {
            let Place::Nowhere(file) = place else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it has a name already",
                ));
            };
            let settled = file.is_settled();
            let node = Node::File(Arc::new(file.clone()));
            let id = machine.tree.place_at(path, node)?;
            if !settled {
                machine.tree.unsettled.insert(id);
            }
            *place = Place::Linked(id);
            Ok(())
        })
    }
}

impl Place {
    fn file<'file>(
        &'file mut self,
        machine: &'file mut Machine,
    ) -> io::Result<&'file mut FileState> {
        match self {
            Place::Nowhere(file) => Ok(file),
            Place::Linked(id) => machine.tree.change_file(*id),
        }
    }
}

/// A sync of `what`, around the fault it may have. One that fails gives up what was pending.
fn sync<T>(
    fault: Option<Fault>,
    what: &mut T,
    make_durable: impl FnOnce(&mut T) -> io::Result<()>,
    give_up: impl FnOnce(&mut T) -> io::Result<()>,
) -> io::Result<()> {
    match fault {
        None => make_durable(what),
        Some(Fault::Before(kind)) => {
            give_up(what)?;
            Err(kind.into())
        }
        Some(Fault::After(kind)) => {
            make_durable(what)?;
            Err(kind.into())
        }
    }
}

/// Lets [`Bytes`] be slices of a shared content.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn length(data: &[u8]) -> u64 {
    u64::try_from(data.len()).expect("usize is at most 64 bits")
}
