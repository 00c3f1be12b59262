//! A world of remotes, pull requests and environments that changes at random, and what a pass sees of it:
//! the truth, an error, or a lie.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plan::stale::{Candidate, ForgeAnswer, Look, Memory, PullState, Reference};

use crate::{random::Random, reference::Pass};

const BRANCHES: [&str; 7] =
    ["feature/a", "feature/b", "feature/c", "feature/d", "feature/e", "fix/f", "main"];
const REST: [&str; 8] = ["main", "trunk", "develop", "o1", "o2", "o3", "o4", "o5"];
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What is true of a branch, beside what a pass was told about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Truth {
    /// There was a listing.
    pub listed: bool,
    /// The branch exists on the remote that was listed.
    pub exists: bool,
    /// The listing said something else.
    pub listing_lied: bool,
    /// The forge said something else.
    pub forge_lied: bool,
}

/// An environment with its record.
#[derive(Debug, Clone)]
pub struct Env {
    pub id: String,
    pub record_uid: String,
    pub reference: Reference,
    pub protected: bool,
    pub going: bool,
    last_up: i64,
    expires_at: Option<i64>,
    expired_before: Option<i64>,
    remote: usize,
    /// What the record holds, as it is stored.
    pub stored: String,
    /// Passes whose memory was stored.
    pub passes: Vec<Pass>,
    /// What was true then.
    pub truths: Vec<Truth>,
}

impl Env {
    /// As the decision is given it.
    pub fn candidate(&self, look: Look) -> Candidate {
        Candidate {
            name: format!("env-{}", self.id),
            id: self.id.clone(),
            record_uid: self.record_uid.clone(),
            repository: "https://git.example.com/shop".into(),
            reference: self.reference.clone(),
            protected: self.protected,
            going: self.going,
            last_up: time(self.last_up),
            expires_at: self.expires_at.map(time),
            memory: serde_json::from_str(&self.stored).unwrap(),
            look,
        }
    }

    /// As the reference is given it.
    pub fn pass(&self, now: Timestamp, look: Look) -> Pass {
        Pass {
            now,
            going: self.going,
            protected: self.protected,
            expires_at: self.expires_at.map(time),
            reference: self.reference.clone(),
            look,
        }
    }
}

/// How a remote answers in one pass.
enum Mode {
    True,
    Fails,
    Empty,
    Short(Vec<String>),
}

/// Everything.
pub struct World {
    pub random: Random,
    pub envs: Vec<Env>,
    now: i64,
    remotes: [BTreeMap<String, u64>; 2],
    pulls: BTreeMap<u64, PullState>,
    serial: u64,
    faults: usize,
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap()
}

impl World {
    /// One to twelve environments in a world of its own for every seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let faults = random.of(&[0, 3, 10, 30]);
        let now = "2026-10-01T00:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let mut world = Self {
            random,
            envs: Vec::new(),
            now,
            remotes: Default::default(),
            pulls: (1..5).map(|number| (number, PullState::Open)).collect(),
            serial: 0,
            faults,
        };
        for remote in 0..2 {
            for name in BRANCHES.iter().chain(&REST) {
                if *name == "main" || world.random.chance(60) {
                    world.push(remote, name);
                }
            }
        }
        for number in 0..1 + world.random.below(12) {
            let env = world.env(format!("{number:032x}"));
            world.envs.push(env);
        }
        world
    }

    /// The clock, as a pass reads it.
    pub fn now(&self) -> Timestamp {
        time(self.now)
    }

    /// A record as `up` makes it.
    pub fn env(&mut self, id: String) -> Env {
        self.serial += 1;
        let random = &mut self.random;
        let remote = random.below(2) * random.below(2);
        let mut branch = random.of(&BRANCHES).to_owned();
        if random.chance(80) {
            let pushed: Vec<&str> =
                BRANCHES.into_iter().filter(|name| self.remotes[remote].contains_key(*name)).collect();
            branch = if pushed.is_empty() { branch } else { random.of(&pushed).to_owned() };
        }
        let reference = match random.below(20) {
            0 => Reference::Tag("v1".into()),
            1 => Reference::Named("demo".into()),
            2..5 => Reference::Pull(1 + random.below(4) as u64),
            _ => Reference::Branch(branch),
        };
        let ttl = random.of(&[None, None, None, Some(MINUTE), Some(HOUR), Some(DAY), Some(30 * DAY)]);
        Env {
            id,
            record_uid: format!("uid-{}", self.serial),
            reference,
            protected: random.chance(5),
            going: false,
            last_up: self.now,
            expires_at: ttl.map(|ttl| self.now + ttl),
            expired_before: None,
            remote,
            stored: serde_json::to_string(&Memory::default()).unwrap(),
            passes: Vec::new(),
            truths: Vec::new(),
        }
    }

    fn push(&mut self, remote: usize, name: &str) {
        self.serial += 1;
        self.remotes[remote].insert(name.to_owned(), self.serial);
    }

    /// Time passes, or goes back; then some things happen.
    pub fn live(&mut self) {
        let steps = [0, 1, 1000, MINUTE, 3 * MINUTE, 5 * MINUTE - 1, 5 * MINUTE, 5 * MINUTE + 1, HOUR, DAY];
        let back = [1, MINUTE, 5 * MINUTE, HOUR, 4 * DAY];
        self.now += if self.random.chance(6) { -self.random.of(&back) } else { self.random.of(&steps) };
        for _ in 0..self.random.below(4) {
            match self.random.below(10) {
                0..5 => self.on_a_remote(),
                5 => {
                    let states = [PullState::Open, PullState::Open, PullState::Closed, PullState::Merged];
                    let state = self.random.of(&states);
                    let number = 1 + self.random.below(4) as u64;
                    self.pulls.insert(number, state);
                }
                _ if self.envs.is_empty() => {}
                _ => self.on_a_record(),
            }
        }
    }

    fn on_a_remote(&mut self) {
        let remote = self.random.below(2) * self.random.below(2);
        let name = self.random.of(&BRANCHES);
        match self.random.below(10) {
            // A push makes the branch, or moves it by force.
            0..3 => self.push(remote, name),
            3..6 => drop(self.remotes[remote].remove(name)),
            6 if self.random.chance(50) => {
                self.remotes[remote].retain(|name, _| REST.contains(&name.as_str()))
            }
            6 | 7 => {
                // Recreated at the commit of the other remote.
                if let Some(commit) = self.remotes[1 - remote].get(name).copied() {
                    self.remotes[remote].insert(name.to_owned(), commit);
                }
            }
            8 => {
                let other = self.random.of(&REST);
                if self.remotes[remote].remove(other).is_none() {
                    self.push(remote, other);
                }
            }
            _ => {
                self.remotes[remote].retain(|name, _| BRANCHES.contains(&name.as_str()) || name == "develop")
            }
        }
    }

    fn on_a_record(&mut self) {
        let index = self.random.below(self.envs.len());
        let now = self.now;
        let (random, env) = (&mut self.random, &mut self.envs[index]);
        match random.below(10) {
            0..2 => {
                env.last_up = now;
                env.expired_before = env.expires_at;
                env.expires_at = env.expires_at.map(|_| now + random.of(&[MINUTE, HOUR, DAY]));
            }
            2 => {
                env.expired_before = env.expires_at;
                env.expires_at = env.expires_at.map(|end| end + random.of(&[1, MINUTE, DAY, -HOUR]));
            }
            3 => std::mem::swap(&mut env.expires_at, &mut env.expired_before),
            4..6 => env.protected = !env.protected && random.chance(30),
            6 => env.remote = 1 - env.remote,
            _ => env.going |= random.chance(8),
        }
    }

    /// What this pass sees of every environment, and what is true.
    pub fn looks(&mut self) -> Vec<(Look, Truth)> {
        let modes = [self.mode(0), self.mode(1)];
        (0..self.envs.len()).map(|index| self.look(index, &modes)).collect()
    }

    fn mode(&mut self, remote: usize) -> Mode {
        if !self.random.chance(self.faults) {
            return Mode::True;
        }
        let names: Vec<String> = self.remotes[remote].keys().cloned().collect();
        let keep = self.random.of(&[10, 50, 80]);
        match self.random.below(4) {
            0 => Mode::Fails,
            1 => Mode::Empty,
            _ => Mode::Short(names.into_iter().filter(|_| self.random.chance(keep)).collect()),
        }
    }

    fn look(&mut self, index: usize, modes: &[Mode; 2]) -> (Look, Truth) {
        let env = &self.envs[index];
        let (reference, remote) = (env.reference.clone(), env.remote);
        let odd = self.random.below(100);
        if odd < 2 {
            return (Look::Nothing { why: "no remote is known".into() }, Truth::default());
        }
        if odd < 2 + self.faults / 2 {
            return (Look::Unknown { cause: "connection refused".into() }, Truth::default());
        }
        let mismatch = odd == 99;
        match &reference {
            Reference::Branch(name) if !mismatch => self.branch(name, remote, &modes[remote]),
            Reference::Pull(number) if !mismatch => {
                let state = self.pulls[number];
                let at = (state != PullState::Open).then(|| "2026-10-01T10:00:00Z".to_owned());
                (Look::Pull { state, at }, Truth::default())
            }
            Reference::Tag(_) | Reference::Named(_) if self.random.chance(80) => {
                (Look::Nothing { why: "a tag is never looked for".into() }, Truth::default())
            }
            Reference::Branch(_) => (Look::Pull { state: PullState::Merged, at: None }, Truth::default()),
            Reference::Pull(_) | Reference::Tag(_) | Reference::Named(_) => {
                let commit = self.random.of(&[None, Some("c".to_owned())]);
                let refs = vec!["main".to_owned()];
                let forge = self.random.of(&[ForgeAnswer::NotAsked, ForgeAnswer::Absent]);
                (Look::Branch { remote: "r0".into(), commit, refs, forge }, Truth::default())
            }
        }
    }

    fn branch(&mut self, name: &str, remote: usize, mode: &Mode) -> (Look, Truth) {
        let branches = &self.remotes[remote];
        let truth = branches.get(name).copied();
        let visible = |other: &str| match mode {
            Mode::True => true,
            Mode::Fails | Mode::Empty => false,
            Mode::Short(kept) => kept.iter().any(|name| name == other),
        };
        if matches!(mode, Mode::Fails) {
            return (Look::Unknown { cause: "the listing failed".into() }, Truth::default());
        }
        let mut refs: Vec<String> =
            branches.keys().filter(|other| *other != name && visible(other)).cloned().collect();
        refs.sort_by_key(|other| (other != "main", other != "trunk", other.clone()));
        let commit = truth.filter(|_| visible(name)).map(|commit| format!("{commit:040x}"));
        if commit.is_none() && self.random.chance(self.faults / 3) {
            refs.push(name.to_owned());
        }
        let exists = truth.is_some();
        let said = if self.random.chance(self.faults) { !exists } else { exists };
        let forge = match self.random.below(10) {
            0..6 => ForgeAnswer::NotAsked,
            6..8 => ForgeAnswer::Unknown { cause: "rate limit".into() },
            _ if said => ForgeAnswer::Present,
            _ => ForgeAnswer::Absent,
        };
        let forge_lied = forge == if exists { ForgeAnswer::Absent } else { ForgeAnswer::Present };
        let listing_lied = commit.is_some() != exists;
        let look = Look::Branch { remote: format!("r{remote}"), commit, refs, forge };
        (look, Truth { listed: true, exists, listing_lied, forge_lied })
    }
}
