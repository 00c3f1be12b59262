//! Jobs.
//!
//! kstatus calls a Job current as soon as it has started, which lets a migration that still runs pass
//! for done. Here only `Complete` is healthy.

use serde_json::Value;

use super::read::{clean, condition_status, count, flag, int, name, text};
use super::{Finding, Health, Surroundings, Trouble, container, event, pod, read, related, workload};

/// A Job is healthy when it is complete; until then its pods speak for it.
pub(super) fn assess(object: &Value, around: &Surroundings<'_>) -> Health {
    if condition_status(object, "Complete") == Some("True") {
        return Health::healthy();
    }
    // `FailureTarget` comes first, while the remaining pods are still being ended: the logs are there.
    for kind in ["Failed", "FailureTarget"] {
        if let Some(failed) = read::condition(object, kind).filter(|c| text(c, &["status"]) == Some("True")) {
            return Health::Failed(failure(object, failed, around));
        }
    }
    if flag(object, &["spec", "suspend"]) {
        return Health::progressing("it is suspended");
    }
    let pods = related::pods(object, around);
    let standing: Vec<&Value> = pods.iter().copied().filter(|pod| !related::ended(pod)).collect();
    let refused = if standing.is_empty() { event::refusal(object, around) } else { None };
    let of_pods = workload::worst(&standing, 0, around).map(retried);
    let found = workload::worse(of_pods.into_iter().chain(refused)).or_else(|| attempts(object, &pods));
    found.unwrap_or_else(|| under_way(object, &standing))
}

/// A Job counts failures itself (`backoffLimit`), so a container that crashed often is its decision.
/// What no attempt can mend stays final.
fn retried(found: Health) -> Health {
    match found {
        Health::Failed(finding) if finding.trouble == Trouble::CrashLoop => Health::Trouble(finding),
        other => other,
    }
}

/// Attempts that failed while the Job may still try again.
fn attempts(object: &Value, pods: &[&Value]) -> Option<Health> {
    let failed = count(object, "failed");
    if failed <= 0 {
        return None;
    }
    let allowed = int(object, &["spec", "backoffLimit"]).unwrap_or(6).saturating_add(1);
    let tried = format!("{failed} of {allowed} attempts failed");
    let last = last_failed(pods).map(pod::failure);
    Some(Health::Trouble(match last {
        Some(finding) => Finding { cause: format!("{tried}: {}", finding.cause), ..finding },
        None => Finding::new(Trouble::PodFailed, tried),
    }))
}

/// Why the Job gave up. Pods that are being ended are asked too: a Job ends those that still run.
fn failure(object: &Value, failed: &Value, around: &Surroundings<'_>) -> Finding {
    let reason = text(failed, &["reason"]).unwrap_or("Failed");
    let given_up = format!("job {} failed ({})", name(object), clean(reason));
    let pods = related::all_pods(object, around);
    let of_pod = last_failed(&pods).map(pod::failure).or_else(|| crashing(&pods));
    match of_pod {
        Some(finding) => {
            let cause = format!("{given_up}: {}", finding.cause);
            Finding { trouble: Trouble::JobFailed, cause, ..finding }
        }
        None => {
            let message = clean(text(failed, &["message"]).unwrap_or("no reason given"));
            Finding::new(Trouble::JobFailed, format!("{given_up}: {message}"))
        }
    }
}

/// The failed pod that ended last: its logs tell why there was no further attempt.
fn last_failed<'a>(pods: &[&'a Value]) -> Option<&'a Value> {
    let failed = pods.iter().filter(|pod| text(pod, &["status", "phase"]) == Some("Failed"));
    failed.max_by_key(|pod| (container::ended_at(pod), name(pod))).copied()
}

/// The trouble of a pod that was still being tried when the Job gave up.
fn crashing(pods: &[&Value]) -> Option<Finding> {
    let found = pods.iter().filter(|pod| !related::ended(pod)).find_map(|pod| container::trouble(pod));
    found.and_then(|health| health.finding().cloned())
}

/// How far the Job is.
fn under_way(object: &Value, standing: &[&Value]) -> Health {
    let done = count(object, "succeeded");
    let progress = match int(object, &["spec", "completions"]) {
        Some(all) if all > 1 => format!("{done} of {all} completions"),
        _ => "it has not completed".to_owned(),
    };
    match workload::first_unready(standing) {
        Some(pod) => Health::progressing(format!("{progress}: {}", pod::waits_for(pod))),
        None if standing.is_empty() && done > 0 => {
            Health::progressing(format!("{progress}: its pods have ended"))
        }
        None if standing.is_empty() => Health::progressing(format!("{progress}: it has no pod yet")),
        None => Health::progressing(format!("{progress}: {} at work", workload::pods(active(standing)))),
    }
}

/// Pods at work.
fn active(standing: &[&Value]) -> i64 {
    i64::try_from(standing.len()).unwrap_or(i64::MAX)
}
