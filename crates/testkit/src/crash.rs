//! The states that a loss of power may leave of a [`World`].

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use crate::{
    random::Random,
    sim_disk::Sector,
    sim_files::{Left, NodeId, TreeChoice},
    world::{Machine, World},
};

/// Picks tried for each state asked for, before sampling gives up to find a new one.
const TRIES: usize = 4;

/// Iterator over the worlds that a crash may leave; see [`World::crash_states`].
#[derive(Debug)]
pub struct CrashStates {
    machine: Machine,
    choices: Vec<Choice>,
    /// Index of the choice about a name.
    names: BTreeMap<(NodeId, Arc<str>), usize>,
    plan: Plan,
    limit: usize,
    given: usize,
    seen: BTreeSet<u64>,
}

/// One pending change and the ways it may end; the pick 0 is always "it was lost".
#[derive(Debug)]
enum Choice {
    Sector {
        disk: Arc<str>,
        sector: u64,
        contents: Versions<Sector>,
    },
    Name {
        dir: NodeId,
        name: Arc<str>,
        meanings: Versions<Option<NodeId>>,
    },
    Piece {
        file: NodeId,
    },
}

/// What a crash may leave of one thing, none twice; the first is durable.
#[derive(Debug)]
struct Versions<T> {
    distinct: Vec<T>,
    /// Index of the one that is visible.
    newest: usize,
}

/// What may be left of a piece of a file, in the order of its picks.
const LEFT: [Left; 3] = [Left::Nothing, Left::Zeroes, Left::Bytes];

#[derive(Debug)]
enum Plan {
    /// Counts through all picks, as digits of a number; `None` when it is through.
    All(Option<Vec<usize>>),
    /// Takes so many samples, of which some were taken.
    Sample { random: Random, turn: usize },
}

impl CrashStates {
    pub(crate) fn new(mut machine: Machine, limit: usize, seed: u64) -> CrashStates {
        machine.forget_plans();
        let choices = choices(&machine);
        let names = choices
            .iter()
            .enumerate()
            .filter_map(|(index, choice)| match choice {
                Choice::Name { dir, name, .. } => Some(((*dir, Arc::clone(name)), index)),
                _ => None,
            });
        let names = names.collect();
        let lost = vec![0; choices.len()];
        let plan = if combinations(&choices) <= u128::try_from(limit).expect("128 bits hold it") {
            Plan::All(Some(lost))
        } else {
            Plan::Sample {
                random: Random::new(seed),
                turn: 0,
            }
        };
        CrashStates {
            machine,
            choices,
            names,
            plan,
            limit,
            given: 0,
            seen: BTreeSet::new(),
        }
    }

    /// Whether all states are given, and not a sample of them.
    #[must_use]
    pub fn is_exhaustive(&self) -> bool {
        matches!(self.plan, Plan::All(_))
    }

    pub(crate) fn combinations(&self) -> u128 {
        combinations(&self.choices)
    }

    fn next_picks(&mut self) -> Option<Vec<usize>> {
        match &mut self.plan {
            Plan::All(next) => {
                let picks = next.take()?;
                *next = following(&picks, &self.choices);
                Some(picks)
            }
            Plan::Sample { random, turn } => {
                let now = *turn;
                *turn += 1;
                (now < self.limit.saturating_mul(TRIES))
                    .then(|| sampled(&self.choices, random, now))
            }
        }
    }

    /// Whether the node can be reached from the root after a crash with these picks.
    fn is_reachable(&self, node: NodeId, picks: &[usize]) -> bool {
        let Some((above, name)) = self.machine.tree.place(node) else {
            return true;
        };
        let meaning = match self.names.get(&(above, Arc::clone(name))) {
            Some(&index) => match (self.choices.get(index), picks.get(index)) {
                (Some(Choice::Name { meanings, .. }), Some(&pick)) => meanings.at(pick).flatten(),
                _ => None,
            },
            None => self.machine.tree.durable_name(above, name),
        };
        meaning == Some(node) && self.is_reachable(above, picks)
    }

    /// What the picks leave, and a number that is the same for picks that leave the same.
    fn outcome(&self, picks: &[usize]) -> (Outcome, u64) {
        let mut outcome = Outcome::default();
        let mut hasher = DefaultHasher::new();
        let mut pieces: BTreeMap<NodeId, Vec<Left>> = BTreeMap::new();
        for (choice, &pick) in self.choices.iter().zip(picks) {
            match choice {
                Choice::Sector {
                    disk,
                    sector,
                    contents,
                } => {
                    (disk, sector, pick).hash(&mut hasher);
                    let content = contents.at(pick).flatten();
                    let sectors = outcome.sectors.entry(Arc::clone(disk)).or_default();
                    sectors.push((*sector, content));
                }
                Choice::Name {
                    dir,
                    name,
                    meanings,
                } => {
                    let meaning = meanings.at(pick).flatten();
                    if self.is_reachable(*dir, picks) {
                        (dir, name, meaning).hash(&mut hasher);
                    }
                    outcome.names.insert((*dir, Arc::clone(name)), meaning);
                }
                Choice::Piece { file } => {
                    let left = LEFT.get(pick).copied().unwrap_or(Left::Nothing);
                    pieces.entry(*file).or_default().push(left);
                }
            }
        }
        for (file, pieces) in pieces {
            let content = self.machine.tree.file_after_crash(file, &pieces);
            if let Some(content) = content.filter(|_| self.is_reachable(file, picks)) {
                (file, &content).hash(&mut hasher);
                outcome.files.insert(file, content);
            }
        }
        (outcome, hasher.finish())
    }

    fn world(&self, outcome: &Outcome) -> World {
        let tree = self
            .machine
            .tree
            .after_crash(&outcome.names, &outcome.files);
        let disks = self.machine.disks.iter().map(|(name, disk)| {
            let survivors = outcome.sectors.get(name.as_str());
            let disk = disk.after_crash(survivors.map_or(&[], Vec::as_slice));
            (name.clone(), disk)
        });
        World::from_machine(self.machine.succeeded_by(tree, disks.collect()))
    }
}

impl Iterator for CrashStates {
    type Item = World;

    fn next(&mut self) -> Option<World> {
        while self.given < self.limit {
            let picks = self.next_picks()?;
            let (outcome, print) = self.outcome(&picks);
            if self.seen.insert(print) {
                self.given += 1;
                return Some(self.world(&outcome));
            }
        }
        None
    }
}

/// What a crash leaves of all that was pending.
#[derive(Default)]
struct Outcome {
    sectors: BTreeMap<Arc<str>, Vec<(u64, Sector)>>,
    names: BTreeMap<(NodeId, Arc<str>), Option<NodeId>>,
    files: BTreeMap<NodeId, Arc<Vec<u8>>>,
}

impl<T: Clone + PartialEq> Versions<T> {
    /// From all versions, oldest first; there is at least one.
    fn new(versions: Vec<T>) -> Versions<T> {
        let mut distinct: Vec<T> = Vec::new();
        let mut newest = 0;
        for version in versions {
            let found = distinct.iter().position(|known| *known == version);
            newest = found.unwrap_or(distinct.len());
            if found.is_none() {
                distinct.push(version);
            }
        }
        Versions { distinct, newest }
    }

    fn at(&self, pick: usize) -> Option<T> {
        self.distinct.get(pick).cloned()
    }
}

impl Choice {
    fn ways(&self) -> usize {
        match self {
            Choice::Sector { contents, .. } => contents.distinct.len(),
            Choice::Name { meanings, .. } => meanings.distinct.len(),
            Choice::Piece { .. } => LEFT.len(),
        }
    }

    /// The pick of "all of it survived".
    fn newest(&self) -> usize {
        match self {
            Choice::Sector { contents, .. } => contents.newest,
            Choice::Name { meanings, .. } => meanings.newest,
            Choice::Piece { .. } => LEFT.len() - 1,
        }
    }
}

fn choices(machine: &Machine) -> Vec<Choice> {
    let tree = machine
        .tree
        .choices()
        .into_iter()
        .map(|choice| match choice {
            TreeChoice::Name {
                dir,
                name,
                meanings,
            } => Choice::Name {
                dir,
                name,
                meanings: Versions::new(meanings),
            },
            TreeChoice::Piece { file } => Choice::Piece { file },
        });
    let disks = machine.disks.iter().flat_map(|(name, disk)| {
        let name: Arc<str> = Arc::from(name.as_str());
        disk.choices()
            .map(move |(sector, contents)| Choice::Sector {
                disk: Arc::clone(&name),
                sector,
                contents: Versions::new(contents),
            })
    });
    // What was written as it was before is no choice.
    tree.chain(disks)
        .filter(|choice| choice.ways() > 1)
        .collect()
}

fn combinations(choices: &[Choice]) -> u128 {
    choices.iter().fold(1, |product: u128, choice| {
        let ways = u128::try_from(choice.ways()).expect("128 bits hold it");
        product.saturating_mul(ways)
    })
}

/// The picks after `picks`, counting; `None` after the last.
fn following(picks: &[usize], choices: &[Choice]) -> Option<Vec<usize>> {
    let mut next = picks.to_vec();
    for (pick, choice) in next.iter_mut().zip(choices) {
        if *pick + 1 < choice.ways() {
            *pick += 1;
            return Some(next);
        }
        *pick = 0;
    }
    None
}

/// The picks of one turn. Most bugs show when a single change is lost or a single one survives, so
/// those have turns of their own among the random ones.
fn sampled(choices: &[Choice], random: &mut Random, turn: usize) -> Vec<usize> {
    let newest = || choices.iter().map(Choice::newest);
    let Some(turn) = turn.checked_sub(2) else {
        return if turn == 0 {
            vec![0; choices.len()]
        } else {
            newest().collect()
        };
    };
    let odd = turn / 3;
    match turn % 3 {
        0 if odd < choices.len() => {
            let picks = newest().enumerate();
            picks
                .map(|(index, pick)| if index == odd { 0 } else { pick })
                .collect()
        }
        1 if odd < choices.len() => {
            let picks = newest().enumerate();
            picks
                .map(|(index, pick)| if index == odd { pick } else { 0 })
                .collect()
        }
        _ => {
            let lost_percent = random.below(101);
            let picks = choices.iter().map(|choice| {
                if random.percent(lost_percent) {
                    return 0;
                }
                let others = u64::try_from(choice.ways() - 1).expect("usize is at most 64 bits");
                let pick = usize::try_from(random.below(others)).expect("it is below a usize");
                pick + 1
            });
            picks.collect()
        }
    }
}
