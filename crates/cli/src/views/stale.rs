//! What `gc` decided, and why.

use cluster::ReceiptSpec;
use engine::{
    account::Account,
    down::Progress,
    gc::{Abandoned, Removal, Report},
};
use plan::stale::{Decision, Verdict};
use serde_json::{Value, json};

use crate::{
    args::Output,
    ui::{BAD, GOOD, WARN},
    views::{plain, table},
};

/// For programs: `{items: [{environment, decision, rule, inputs, next, …}]}`.
pub fn json(report: &Report) -> Value {
    let items: Vec<Value> = report
        .decisions
        .iter()
        .map(|decision| {
            let mut value = item(decision);
            let removal = report.removed.iter().find(|(name, _)| *name == decision.environment);
            value["outcome"] = match removal.map(|(_, removal)| removal) {
                None => Value::Null,
                Some(Removal::Gone) => json!("gone"),
                Some(Removal::Stays(why)) => json!(format!("stays: {why}")),
                Some(Removal::Failed(_)) => json!("failed"),
            };
            value
        })
        .collect();
    let mut value = json!({"items": items, "held": report.held});
    if !report.abandoned.is_empty() {
        value["abandoned"] = json!(report.abandoned);
    }
    value
}

/// What is left of teardowns that were given up, for people.
pub fn abandoned(abandoned: &[Abandoned]) -> String {
    let mut lines = Vec::new();
    for Abandoned { environment, leftovers, .. } in abandoned {
        lines.push(format!("{environment} was abandoned, objects left: {}", leftovers.len()));
        lines.extend(leftovers.iter().map(|left| format!("  {}: {}", plain(&left.object), left.next)));
    }
    lines.join("\n")
}

/// One decision, for programs.
pub fn item(decision: &Decision) -> Value {
    json!({
        "environment": decision.environment, "id": decision.id, "decision": decision.decision,
        "rule": decision.rule, "cause": decision.cause, "inputs": decision.inputs, "next": decision.next,
    })
}

/// For people: a line for each environment.
pub fn text(report: &Report, output: Output) -> String {
    if output == Output::Name {
        let going = report.decisions.iter().filter(|decision| decision.decision == Verdict::Delete);
        return going.map(|decision| format!("{}\n", decision.environment)).collect();
    }
    let rows = report
        .decisions
        .iter()
        .map(|decision| {
            vec![
                decision.environment.clone(),
                word(decision).to_owned(),
                decision.rule.name().to_owned(),
                plain(&decision.cause),
            ]
        })
        .collect();
    table(&["ENVIRONMENT", "DECISION", "RULE", "WHY"], rows)
}

/// One decision, for people.
pub fn one(decision: &Decision, teardown: Option<&Progress>) -> String {
    let mut lines = vec![
        format!("Environment: {}", decision.environment),
        format!("Decision:    {}", verdict(decision)),
        format!("Rule:        {}", decision.rule.name()),
        format!("Why:         {}", plain(&decision.cause)),
    ];
    if let Some(teardown) = teardown {
        lines.push(format!("Teardown:    {}", plain(&teardown.sentence())));
    }
    if let Some(next) = &decision.next {
        lines.push(format!("Next:        {}: {}", next.rule.name(), plain(&next.when)));
    }
    if let Some(inputs) = decision.inputs.as_object().filter(|inputs| !inputs.is_empty()) {
        lines.push("Inputs:".to_owned());
        lines.extend(inputs.iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("  {name}: {}", plain(&text))
        }));
    }
    lines.join("\n")
}

/// Objects, accounted for.
pub fn accounts(accounts: &[Account]) -> String {
    let one = |account: &Account| {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let mut lines = vec![
            format!("Object:      {}", account.object),
            format!("Component:   {}", account.component),
            format!("Whose:       {}", plain(&account.ownership)),
            format!(
                "uid:         {}",
                account.uid.as_deref().unwrap_or("not known yet: its creation is pending")
            ),
            format!(
                "As applied:  {}",
                if account.as_applied { "yes" } else { "no: `mimeo diff` shows what differs" }
            ),
            format!("Others:      {}", plain(&list(&account.other_managers))),
            format!("Finalizers:  {}", plain(&list(&account.finalizers))),
            format!("Teardown:    it {}", account.teardown),
        ];
        if let Some(health) = &account.health {
            let message =
                account.message.as_deref().map(|text| format!(": {}", plain(text))).unwrap_or_default();
            lines.insert(3, format!("Health:      {health}{message}"));
        }
        if account.going {
            lines.push("Deleted:     yes, it is on its way out".to_owned());
            lines.extend(account.held_by.iter().map(|line| format!("Held by:     {}", plain(line))));
        }
        lines.join("\n")
    };
    accounts.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

/// Why an environment is gone.
pub fn receipt(receipt: &ReceiptSpec) -> String {
    let reason = receipt.reason.as_deref().unwrap_or("somebody asked for it");
    let mut lines = vec![
        format!("Environment: {}", receipt.environment),
        format!(
            "Decision:    {} {}",
            if receipt.proven { "gone since" } else { "given up at" },
            receipt.finished
        ),
        format!("Why:         {}", plain(reason)),
    ];
    if receipt.proven {
        if let Some(abandoned) = &receipt.abandoned {
            lines.push(format!("Given up:    {abandoned}"));
        }
        let (tally, reads) = (engine::down::tally(receipt), engine::down::reads(receipt));
        lines.push(format!("Proven:      {tally}, {reads}"));
    } else {
        lines.push(format!(
            "Proven:      no, {} of {} objects are left or could not be looked for{}",
            receipt.leftovers.len(),
            receipt.objects,
            receipt.looked.as_ref().map(|looked| format!(", as of {looked}")).unwrap_or_default()
        ));
        lines.extend(receipt.leftovers.iter().map(|entry| format!("  {}", entry.object)));
        let found = receipt.looks.iter().flat_map(|look| &look.found);
        lines.extend(found.map(|found| format!("Found:       {}", plain(found))));
        lines.extend(receipt.blocked.iter().map(|cause| format!("Blocked by:  {}", plain(cause))));
    }
    lines.join("\n")
}

/// Receipts, a line each.
pub fn receipts(receipts: &[ReceiptSpec]) -> String {
    let row = |receipt: &ReceiptSpec| {
        vec![
            receipt.environment.clone(),
            plain(&receipt.r#ref),
            receipt.finished.clone(),
            if receipt.proven { "yes" } else { "no" }.to_owned(),
            plain(receipt.reason.as_deref().unwrap_or("asked for")),
        ]
    };
    table(&["ENVIRONMENT", "REF", "ENDED", "PROVEN", "WHY"], receipts.iter().map(row).collect())
}

/// One receipt with every look.
pub fn whole_receipt(spec: &ReceiptSpec) -> String {
    let rows = spec
        .looks
        .iter()
        .map(|look| {
            let found = if look.found.is_empty() { "nothing".to_owned() } else { look.found.join("; ") };
            let version = look.resource_version.clone().unwrap_or_default();
            let uid = look.uid.clone().unwrap_or_default();
            vec![look.what.clone(), uid, look.place.clone(), plain(&found), version]
        })
        .collect();
    let looks = table(&["LOOKED FOR", "UID", "IN", "FOUND", "RESOURCE VERSION"], rows);
    format!(
        "{}\nRepository:  {}\nRevision:    {}\n\n{looks}",
        receipt(spec),
        plain(&spec.repository),
        spec.revision
    )
}

fn verdict(decision: &Decision) -> String {
    let style = match decision.decision {
        Verdict::Keep => GOOD,
        Verdict::Delete => BAD,
        Verdict::Held => WARN,
    };
    format!("{style}{}{style:#}", word(decision))
}

fn word(decision: &Decision) -> &'static str {
    match decision.decision {
        Verdict::Keep => "keep",
        Verdict::Delete => "delete",
        Verdict::Held => "held",
    }
}
