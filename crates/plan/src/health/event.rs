//! What is written only in Events: refused pods, volumes that cannot be provisioned or mounted.
//!
//! Events outlive what they tell about, so each rule asks for one only while the object's own status
//! shows that something is missing, and none of them is ever final.

use serde_json::Value;

use super::read::{at, clean, group_kind, sortable, text, uid};
use super::{Finding, Health, Question, Surroundings, Trouble};

/// An Event of either API, reduced to what the rules need.
struct Told<'a> {
    reason: &'a str,
    message: &'a str,
    time: &'a str,
}

/// The object an Event is about (`involvedObject` in the core API, `regarding` in `events.k8s.io`).
fn subject(event: &Value) -> Option<&Value> {
    at(event, &["involvedObject"]).or_else(|| at(event, &["regarding"]))
}

/// What an Event tells about: the object with a uid, and the claim of a name.
pub(super) fn about(event: &Value) -> Vec<Question> {
    let Some(subject) = subject(event) else { return Vec::new() };
    let of_uid = text(subject, &["uid"]).map(|uid| Question::EventsOf(uid.to_owned()));
    let claim = text(subject, &["name"]).filter(|_| group_kind(subject).1 == "PersistentVolumeClaim");
    of_uid.into_iter().chain(claim.map(|claim| Question::EventsOfClaim(claim.to_owned()))).collect()
}

/// The reduced form. The time is the last one of a series.
fn told(event: &Value) -> Option<Told<'_>> {
    let time = text(event, &["series", "lastObservedTime"])
        .or_else(|| text(event, &["lastTimestamp"]))
        .or_else(|| text(event, &["deprecatedLastTimestamp"]))
        .or_else(|| text(event, &["eventTime"]))
        .or_else(|| text(event, &["metadata", "creationTimestamp"]));
    Some(Told {
        reason: text(event, &["reason"])?,
        message: text(event, &["message"]).or_else(|| text(event, &["note"])).unwrap_or(""),
        time: sortable(time),
    })
}

/// The newest Event about the object with this uid.
fn newest<'a>(object: &Value, around: &Surroundings<'a>) -> Option<Told<'a>> {
    let events = around.ask(Question::EventsOf(uid(object)?.to_owned()));
    events.filter_map(told).max_by_key(|told| told.time)
}

/// What keeps a controller from making its pods: the newest thing told about it is a refused pod.
pub(super) fn refusal(controller: &Value, around: &Surroundings<'_>) -> Option<Health> {
    let told = newest(controller, around).filter(|told| told.reason == "FailedCreate")?;
    refused(told.message)
}

/// Sorts the words with which the server refused to create a pod. `None` for what mends itself
/// within seconds in a namespace that has just been created.
pub(super) fn refused(message: &str) -> Option<Health> {
    let passing = message.contains("status unknown for quota")
        || message.contains("serviceaccount \"default\" not found")
        || message.contains("object has been modified");
    if passing {
        return None;
    }
    let trouble = if message.contains("exceeded quota") || message.contains("failed quota") {
        Trouble::Quota
    } else {
        Trouble::Rejected
    };
    Some(Health::Trouble(Finding::new(trouble, format!("pods cannot be created: {}", clean(message)))))
}

/// Why the volumes of a pod that sits on a node are not there, if the newest Event tells.
pub(super) fn unmounted(pod: &Value, around: &Surroundings<'_>) -> Option<(Trouble, String)> {
    let told = newest(pod, around)?;
    if !matches!(told.reason, "FailedMount" | "FailedAttachVolume" | "FailedMapVolume")
        || passing(told.message)
    {
        return None;
    }
    let references = ["secret \"", "configmap \"", "references non-existent"];
    let missing = references.iter().any(|words| told.message.contains(words));
    let trouble = if missing { Trouble::ContainerConfig } else { Trouble::Volume };
    Some((trouble, clean(told.message)))
}

/// Whether the kubelet only has not seen an object yet that already exists: usual for a pod that is
/// made right after its Secret, and for the certificate that every new namespace is given.
pub(super) fn passing(message: &str) -> bool {
    ["failed to sync", "not registered", "kube-root-ca.crt"].iter().any(|words| message.contains(words))
}

/// Why a claim gets no volume. Claims of a StatefulSet are made by its controller and known here by
/// name only. Any such Event counts, not the newest: attempts and failures alternate.
pub(super) fn unprovisioned(claim: &str, around: &Surroundings<'_>) -> Option<String> {
    let told = events_of_claim(claim, around);
    let failed = told.filter(|told| matches!(told.reason, "ProvisioningFailed" | "FailedBinding"));
    failed.max_by_key(|told| told.time).map(|told| clean(told.message))
}

/// Whether the claim's controller has said that it waits for a pod.
pub(super) fn awaits_consumer(claim: &str, around: &Surroundings<'_>) -> bool {
    events_of_claim(claim, around).any(|told| told.reason == "WaitForFirstConsumer")
}

/// Events about a claim of this name.
fn events_of_claim<'a>(claim: &str, around: &Surroundings<'a>) -> impl Iterator<Item = Told<'a>> {
    around.ask(Question::EventsOfClaim(claim.to_owned())).filter_map(told)
}
