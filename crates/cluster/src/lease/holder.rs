//! Who holds a lease: a process, by what tells it from every other one of its host.

/// A process: host, boot, pid namespace, pid and start time, so that a dead one is known as dead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    host: String,
    boot: String,
    pid: String,
    started: String,
}

impl Holder {
    pub(super) fn this_process() -> Self {
        let pid = std::process::id().to_string();
        let started = match process(&pid) {
            Process::Running(started) => started,
            Process::Ended | Process::Unseen => String::new(),
        };
        Self { host: host(), boot: boot(), started, pid }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/').map(str::to_owned);
        let holder =
            Self { host: parts.next()?, boot: parts.next()?, pid: parts.next()?, started: parts.next()? };
        parts.next().is_none().then_some(holder)
    }

    /// Whether the process is known to be gone. Anything that cannot be told means alive: then the lease
    /// has to run out.
    pub(super) fn is_dead(&self) -> bool {
        let me = Self::this_process();
        let told = [&self.host, &self.boot, &self.started, &me.host, &me.boot, &me.started];
        if told.iter().any(|text| text.is_empty()) || self.host != me.host || self.boot != me.boot {
            return false;
        }
        match process(&self.pid) {
            Process::Running(started) => started != self.started,
            Process::Ended => true,
            // Not to be seen may also mean hidden (`hidepid`): only the kernel knows.
            Process::Unseen => {
                self.pid.parse().ok().and_then(rustix::process::Pid::from_raw).is_some_and(|pid| {
                    rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
                })
            }
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.host, self.boot, self.pid, self.started)
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn host() -> String {
    read("/proc/sys/kernel/hostname")
}

/// Boot id and pid namespace, where a pid means something; empty when either cannot be told.
fn boot() -> String {
    let boot = read("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    match boot.get(..8) {
        Some(boot) if !digits.is_empty() => format!("{boot}-{digits}"),
        _ => String::new(),
    }
}

/// What `/proc` says of a process.
enum Process {
    /// It runs since this time, in clock ticks since boot.
    Running(String),
    /// It has ended; its parent has not asked yet.
    Ended,
    /// There is nothing to be seen.
    Unseen,
}

/// Reads proc(5) stat: field 3 is the state, field 22 the start time.
fn process(pid: &str) -> Process {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return Process::Unseen };
    // The command name may hold spaces and parentheses; what follows the last one does not.
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    match (fields.next(), fields.nth(18)) {
        (Some("Z" | "X"), _) => Process::Ended,
        (_, Some(started)) => Process::Running(started.to_owned()),
        _ => Process::Unseen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_a_recycled_pid_is_not() {
        let me = Holder::parse(&Holder::this_process().to_string()).unwrap();
        assert!(!me.is_dead());
        assert!(Holder { started: "1".into(), ..Holder::this_process() }.is_dead());
        assert!(
            !Holder { host: "elsewhere".into(), started: "1".into(), ..Holder::this_process() }.is_dead()
        );
    }
}
