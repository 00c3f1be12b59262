//! What one container's status says about its pod.

use serde_json::Value;

use super::read::{clean, flag, int, list, name, text};
use super::{Finding, Health, Trouble, event, read};

/// Where a container stands among the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Ends before the main ones start.
    Init,
    /// Runs as long as the pod does, or is started again when it ends.
    Main,
}

/// One container of one pod.
struct Container<'a> {
    pod: &'a Value,
    status: &'a Value,
    part: Part,
    /// Whether the kubelet starts it again after a failure.
    restarts: bool,
    /// Whether the kubelet starts it again after a success too.
    endless: bool,
}

/// The worst that the containers of a pod tell, init containers first: they come first.
pub(super) fn trouble(pod: &Value) -> Option<Health> {
    containers(pod).find_map(|container| container.trouble())
}

/// The failure of a container that ended for good, for a pod that has ended.
pub(super) fn failure(pod: &Value) -> Option<Finding> {
    containers(pod).find_map(|container| {
        let ended = read::at(container.status, &["state", "terminated"])?;
        if exit_code(ended) == 0 {
            return None;
        }
        let cause = format!("{} {}", container.called(), how_it_ended(ended, ""));
        Some(container.finding(Trouble::PodFailed, cause))
    })
}

/// When the last container of a pod ended, as sortable text.
pub(super) fn ended_at(pod: &Value) -> &str {
    let times =
        containers(pod).map(|c| read::sortable(text(c.status, &["state", "terminated", "finishedAt"])));
    times.max().unwrap_or("")
}

/// The first container that is not ready, as a finding of the given kind, and what it does meanwhile.
pub(super) fn unready(pod: &Value) -> Option<(String, Finding)> {
    let container = containers(pod).find(|container| match container.part {
        Part::Init => read::at(container.status, &["state", "terminated"]).is_none(),
        Part::Main => !flag(container.status, &["ready"]) && !container.done(),
    })?;
    let doing = match (text(container.status, &["state", "waiting", "reason"]), container.part) {
        (Some(reason), _) => format!("waits ({})", clean(reason)),
        (None, Part::Init) => "has not ended".to_owned(),
        (None, Part::Main) => "is not ready".to_owned(),
    };
    let text = format!("{} {doing}", container.called());
    let finding = container.finding(Trouble::Deadline, text.clone());
    Some((text, finding))
}

/// Whether a container of the pod waits for what comes before its start: sandbox, volumes, image.
pub(super) fn being_made(pod: &Value) -> bool {
    let reason =
        |c: &Container<'_>| text(c.status, &["state", "waiting", "reason"]) == Some("ContainerCreating");
    containers(pod).any(|c| reason(&c))
        || containers(pod).all(|c| text(c.status, &["state", "waiting", "reason"]) == Some("PodInitializing"))
}

/// Containers of a pod in the order in which they start.
fn containers(pod: &Value) -> impl Iterator<Item = Container<'_>> {
    let policy = text(pod, &["spec", "restartPolicy"]).unwrap_or("Always");
    let init = list(pod, &["status", "initContainerStatuses"]).iter().map(move |status| {
        let sidecar = is_sidecar(pod, status);
        let part = if sidecar { Part::Main } else { Part::Init };
        Container { pod, status, part, restarts: sidecar || policy != "Never", endless: sidecar }
    });
    let main = list(pod, &["status", "containerStatuses"]).iter().map(move |status| Container {
        pod,
        status,
        part: Part::Main,
        restarts: policy != "Never",
        endless: policy == "Always",
    });
    init.chain(main)
}

/// Whether an init container is one that keeps running beside the main ones.
fn is_sidecar(pod: &Value, status: &Value) -> bool {
    let spec = list(pod, &["spec", "initContainers"]).iter();
    let mut same = spec.filter(|spec| text(spec, &["name"]) == text(status, &["name"]));
    same.any(|spec| text(spec, &["restartPolicy"]) == Some("Always"))
}

impl Container<'_> {
    /// `container app of pod web-x`, the subject of every cause.
    fn called(&self) -> String {
        let part = if self.part == Part::Init { "init container" } else { "container" };
        format!("{part} {} of pod {}", text(self.status, &["name"]).unwrap_or("?"), name(self.pod))
    }

    /// A finding that points at this container's logs. Those of the previous run are meant whenever
    /// there is one and the present run has not ended itself: the reason of a crash is in the run
    /// that crashed.
    fn finding(&self, trouble: Trouble, cause: String) -> Finding {
        let ended = read::at(self.status, &["state", "terminated"]).is_some();
        let ran_before = read::at(self.status, &["lastState", "terminated"]).is_some();
        Finding {
            trouble,
            cause,
            pod: Some(name(self.pod).to_owned()),
            container: text(self.status, &["name"]).map(str::to_owned),
            previous: ran_before && !ended,
        }
    }

    /// What is wrong with this container, if anything is.
    fn trouble(&self) -> Option<Health> {
        if let Some(waiting) = read::at(self.status, &["state", "waiting"]) {
            return self.waiting(waiting);
        }
        if let Some(ended) = read::at(self.status, &["state", "terminated"]) {
            return self.ended(ended);
        }
        self.started_again()
    }

    /// The kubelet's reasons for a container that does not run.
    fn waiting(&self, waiting: &Value) -> Option<Health> {
        let message = text(waiting, &["message"]).unwrap_or("");
        match text(waiting, &["reason"])? {
            "InvalidImageName" => {
                let cause = format!("{} has an impossible image name: {}", self.called(), self.image());
                Some(Health::Failed(self.finding(Trouble::ImageName, cause)))
            }
            "ErrImagePull"
            | "ImagePullBackOff"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => {
                let cause =
                    format!("{} cannot pull image {}{}", self.called(), self.image(), pull_error(message));
                Some(Health::Trouble(self.finding(Trouble::ImagePull, cause)))
            }
            "CreateContainerConfigError" | "CreateContainerError" if event::passing(message) => None,
            "CreateContainerConfigError" | "CreateContainerError" => {
                let cause = format!("{} cannot be made: {}", self.called(), or_unknown(message));
                Some(Health::Trouble(self.finding(Trouble::ContainerConfig, cause)))
            }
            "RunContainerError" | "PostStartHookError" => {
                let finding = format!("cannot be started{}: {}", self.after(), or_unknown(message));
                Some(self.crash(&finding))
            }
            "CrashLoopBackOff" => {
                let last = read::at(self.status, &["lastState", "terminated"]);
                let told = last.map(|last| how_it_ended(last, &self.after()));
                Some(self.crash(&told.unwrap_or_else(|| format!("keeps crashing{}", self.after()))))
            }
            _ => None,
        }
    }

    /// A container that has ended and will, by its pod's policy, be started again or not.
    fn ended(&self, ended: &Value) -> Option<Health> {
        let failed = exit_code(ended) != 0;
        if failed && !self.restarts {
            let cause = format!("{} {}", self.called(), how_it_ended(ended, ""));
            return Some(Health::Trouble(self.finding(Trouble::PodFailed, cause)));
        }
        // A first success of what should run for ever may be a slow hand-over; a second is a loop.
        let looping = self.endless && self.restart_count() > 0;
        let after = match failed {
            true => self.after(),
            false => format!("{}, though it should keep running", self.after()),
        };
        (failed || looping).then(|| self.crash(&how_it_ended(ended, &after)))
    }

    /// A container that runs again after a crash and has not shown yet that it can: without this the
    /// trouble would come and go with every attempt.
    fn started_again(&self) -> Option<Health> {
        let last = read::at(self.status, &["lastState", "terminated"])?;
        if flag(self.status, &["ready"]) || self.restart_count() == 0 || exit_code(last) == 0 {
            return None;
        }
        let cause =
            format!("{} {}", self.called(), how_it_ended(last, &format!(" and runs again{}", self.after())));
        Some(Health::Trouble(self.finding(Trouble::CrashLoop, cause)))
    }

    /// A container that is down now: trouble at first, a failure after enough restarts.
    fn crash(&self, what: &str) -> Health {
        let finding = self.finding(Trouble::CrashLoop, format!("{} {what}", self.called()));
        if self.restart_count() >= Trouble::RESTARTS {
            Health::Failed(finding)
        } else {
            Health::Trouble(finding)
        }
    }

    /// Whether it ended well and that is the end of it.
    fn done(&self) -> bool {
        let ended = read::at(self.status, &["state", "terminated"]);
        !self.endless && ended.is_some_and(|ended| exit_code(ended) == 0)
    }

    /// The image as the manifest has it; the status carries the runtime's own spelling.
    fn image(&self) -> &str {
        let specs =
            ["containers", "initContainers"].into_iter().flat_map(|key| list(self.pod, &["spec", key]));
        let mut same = specs.filter(|spec| text(spec, &["name"]) == text(self.status, &["name"]));
        same.find_map(|spec| text(spec, &["image"])).or_else(|| text(self.status, &["image"])).unwrap_or("?")
    }

    /// How often it has been started again.
    fn restart_count(&self) -> i64 {
        int(self.status, &["restartCount"]).unwrap_or(0)
    }

    /// ` after 4 restarts`, or nothing before the first.
    fn after(&self) -> String {
        match self.restart_count() {
            0 => String::new(),
            1 => " after 1 restart".to_owned(),
            n => format!(" after {n} restarts"),
        }
    }
}

/// The exit code; a container that ended without one did not end well.
fn exit_code(ended: &Value) -> i64 {
    int(ended, &["exitCode"]).unwrap_or(-1)
}

/// `ended with exit code 137 (OOMKilled)`, what is to be said after it, and the last line of its
/// termination message.
fn how_it_ended(ended: &Value, after: &str) -> String {
    let code = match int(ended, &["exitCode"]) {
        Some(code) => format!("ended with exit code {code}"),
        None => "ended without an exit code".to_owned(),
    };
    // `Error` and `Completed` only repeat the exit code.
    let reason = text(ended, &["reason"]).filter(|reason| !matches!(*reason, "Error" | "Completed"));
    let reason = reason.map(|reason| format!(" ({})", clean(reason))).unwrap_or_default();
    let line = text(ended, &["message"]).and_then(|m| m.lines().rev().find(|line| !line.trim().is_empty()));
    let line = line.map(|line| format!(": {}", clean(line))).unwrap_or_default();
    format!("{code}{reason}{after}{line}")
}

/// The registry's own words. While it backs off the kubelet wraps them or leaves them out; the same
/// trouble should read the same at every look.
fn pull_error(message: &str) -> String {
    let message =
        match (message.strip_prefix("Back-off pulling image"), message.split_once(": ErrImagePull: ")) {
            (Some(_), Some((_, inner))) => inner,
            (Some(_), None) => return String::new(),
            (None, _) => message,
        };
    let message =
        match message.strip_prefix("rpc error: code = ").and_then(|rest| rest.split_once(" desc = ")) {
            Some((_, inner)) => inner,
            None => message,
        };
    if message.is_empty() { String::new() } else { format!(": {}", clean(message)) }
}

/// The message, or that there is none.
fn or_unknown(message: &str) -> String {
    if message.is_empty() { "no reason given".to_owned() } else { clean(message) }
}
