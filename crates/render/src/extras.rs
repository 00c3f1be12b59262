//! Data, gates, secrets, lifecycle and policy of a spec.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use spec::deny;
use spec::environment::{Body, DataBody, GateBody, NetworkBody, TableBody, typed};
use spec::name::{is_label, is_subdomain};
use spec::node::Kind;
use spec::quantity::{is_quantity, seconds};
use spec::{Diagnostic, Located, Node, Spot, near, sql};

use crate::offers::{self, Provides};
use crate::rendered::{
    DataStep, Gate, Lifecycle, NamespacePolicy, Network, Policy, PostgresTarget, SecretCopy, TableCopy,
};

/// Component to what it offers.
pub(crate) type Offers = BTreeMap<String, Provides>;

fn target(name: &Located<String>, path: &str, offers: &Offers) -> Result<PostgresTarget, Box<Diagnostic>> {
    let Some(provides) = offers.get(name.as_str()) else {
        let hint = near::hint(name.as_str(), "component", offers.keys().map(String::as_str));
        let finding =
            Diagnostic::error("SPC017", format!("there is no component `{}`", name.value)).help(hint);
        return Err(Box::new(name.spot.mark(finding).on(path)));
    };
    offers::postgres(provides).ok_or_else(|| {
        let known = offers.iter().filter(|(_, provides)| provides.contains_key("postgres/v1"));
        let hint =
            near::hint(name.as_str(), "component that provides it", known.map(|(name, _)| name.as_str()));
        let cause = format!("`{}` does not provide postgres/v1", name.value);
        Box::new(name.spot.mark(Diagnostic::error("SPC018", cause).help(hint)).on(path))
    })
}

/// The copies of data; `node` has its strings rendered.
pub(crate) fn data(node: &Node, offers: &Offers, found: &mut Vec<Diagnostic>) -> Vec<DataStep> {
    let mut steps = Vec::new();
    let bodies: BTreeMap<Located<String>, DataBody> = match typed(node, "spec.data") {
        Ok(bodies) => bodies,
        Err(finding) => {
            found.push(*finding);
            return steps;
        }
    };
    for (component, body) in bodies {
        let path = format!("spec.data.{}", component.value);
        if !is_subdomain(&body.source.name.value) {
            let cause = format!("`{}` is not a name for a Secret", body.source.name.value);
            found.push(
                body.source
                    .name
                    .spot
                    .mark(Diagnostic::error("SPC019", cause))
                    .on(format!("{path}.source.name")),
            );
        }
        let mut tables = Vec::new();
        for (table, copy) in &body.tables {
            found.extend(refused_filter(table, copy, &path));
            match columns(table, copy, &path) {
                Ok(columns) => tables.push(TableCopy {
                    table: table.value.clone(),
                    columns,
                    filter: copy.filter.as_ref().map(|filter| filter.value.clone()),
                }),
                Err(finding) => found.push(*finding),
            }
        }
        match target(&component, &path, offers) {
            Ok(target) => {
                steps.push(DataStep {
                    component: component.value,
                    source: body.source.name.value,
                    tables,
                    target,
                });
            }
            Err(finding) => found.push(*finding),
        }
    }
    steps
}

/// A `where` that the copy would refuse before it reads a row.
fn refused_filter(table: &Located<String>, copy: &TableBody, path: &str) -> Option<Diagnostic> {
    let filter = copy.filter.as_ref()?;
    let cause = format!("`where` is refused: {}", sql::refused_condition(&filter.value)?);
    let finding = Diagnostic::error("SPC019", cause).on(format!("{path}.tables.{}.where", table.value));
    let help = "write one boolean expression over the listed columns, without `;` and comments";
    Some(filter.spot.mark(finding.help(help)))
}

/// `None` for `all`.
fn columns(
    table: &Located<String>,
    copy: &TableBody,
    path: &str,
) -> Result<Option<Vec<String>>, Box<Diagnostic>> {
    let path = format!("{path}.tables.{}.columns", table.value);
    let bad = |spot: &Spot, cause: String| {
        let finding = Diagnostic::error("SPC019", cause).on(path.clone());
        Err(Box::new(spot.mark(finding.help("write `columns: all`, or list them: [id, price]"))))
    };
    let Some(node) = &copy.columns else {
        return bad(&table.spot, format!("table `{}` does not say which columns are copied", table.value));
    };
    match &node.kind {
        Kind::String(text) if text == "all" => Ok(None),
        Kind::List(items) if !items.is_empty() => {
            let mut names = BTreeSet::new();
            let mut columns = Vec::new();
            for item in items {
                let Some(name) = item.as_str().filter(|name| !name.is_empty()) else {
                    return bad(&item.spot, format!("{} where a column name is expected", item.type_name()));
                };
                if !names.insert(name) {
                    return bad(&item.spot, format!("column `{name}` is listed twice"));
                }
                columns.push(name.to_owned());
            }
            Ok(Some(columns))
        }
        _ => bad(
            &node.spot,
            format!("columns of table `{}` are neither `all` nor a list of names", table.value),
        ),
    }
}

/// The gates; `node` has its strings rendered.
pub(crate) fn gates(node: &Node, offers: &Offers, found: &mut Vec<Diagnostic>) -> Vec<Gate> {
    let mut gates: Vec<Gate> = Vec::new();
    let bodies: Vec<GateBody> = match typed(node, "spec.gates") {
        Ok(bodies) => bodies,
        Err(finding) => {
            found.push(*finding);
            return gates;
        }
    };
    for body in bodies {
        let path = format!("spec.gates.{}", body.name.value);
        let expect = match body.expect.to_value() {
            Value::String(text) => text,
            value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
            _ => {
                let cause = format!("{} where one value is expected", body.expect.type_name());
                let finding = Diagnostic::error("SPC021", cause).on(path);
                found.push(body.expect.spot.mark(finding.help("give a text, a number or a boolean")));
                continue;
            }
        };
        let wrong = if gates.iter().any(|gate| gate.name == body.name.value) {
            Some((&body.name, format!("gate `{}` is given twice", body.name.value), "give it another name"))
        } else if !is_label(&body.name.value) {
            let cause = format!("the name of the gate {:?} cannot be the name of a Job", body.name.value);
            Some((&body.name, cause, "use small letters, digits and `-`, at most 63 of them"))
        } else {
            let refused = |why| {
                (&body.sql, format!("the query is refused: {why}"), "write one SELECT that gives one value")
            };
            sql::refused_query(&body.sql.value).map(refused)
        };
        if let Some((at, cause, help)) = wrong {
            found.push(at.spot.mark(Diagnostic::error("SPC021", cause).on(path).help(help)));
            continue;
        }
        match target(&body.on, &path, offers) {
            Ok(target) => gates.push(Gate {
                name: body.name.value,
                on: body.on.value,
                sql: body.sql.value,
                expect,
                target,
            }),
            Err(finding) => found.push(*finding),
        }
    }
    gates
}

/// The Secrets to copy; `spec` has checked their form.
pub(crate) fn secrets(body: &Body) -> Vec<SecretCopy> {
    let copy = |(name, secret): (&Located<String>, &spec::environment::SecretBody)| {
        let (namespace, original) = secret.from.value.split_once('/')?;
        Some(SecretCopy {
            name: name.value.clone(),
            from_namespace: namespace.to_owned(),
            from_name: original.to_owned(),
        })
    };
    body.secrets.iter().filter_map(copy).collect()
}

/// The lifecycle; `spec` has checked its durations.
pub(crate) fn lifecycle(body: &Body) -> Lifecycle {
    let Some(lifecycle) = &body.lifecycle else { return Lifecycle::default() };
    let duration = |text: Option<&Located<String>>| text.and_then(|text| seconds(&text.value).ok());
    Lifecycle {
        ttl_seconds: duration(lifecycle.ttl.as_ref()),
        protected: lifecycle.protected,
        sleep_idle_seconds: duration(lifecycle.sleep.as_ref().map(|sleep| &sleep.idle_for)),
        delete_asleep_seconds: duration(lifecycle.delete.as_ref().map(|delete| &delete.asleep_for)),
    }
}

/// The policy.
pub(crate) fn policy(body: &Body, found: &mut Vec<Diagnostic>) -> Policy {
    let mut policy = Policy {
        namespace: NamespacePolicy::Owned,
        quota: BTreeMap::new(),
        deny: Vec::new(),
        network: Network::Open,
    };
    let Some(given) = &body.policy else { return policy };
    if let Some(node) = &given.namespace {
        match namespace(node) {
            Some(namespace) => policy.namespace = namespace,
            None => {
                let finding =
                    Diagnostic::error("SPC022", "namespace is neither `owned` nor `{borrowed: NAME}`");
                found.push(node.spot.mark(finding).on("spec.policy.namespace"));
            }
        }
    }
    for (name, node) in &given.quota {
        let text = match node.to_value() {
            Value::String(text) => text,
            value => value.to_string(),
        };
        if is_quantity(&text) {
            policy.quota.insert(name.value.clone(), text);
        } else {
            let finding =
                Diagnostic::error("SPC022", format!("`{text}` is not a quantity such as 500m or 8Gi"));
            found.push(node.spot.mark(finding).on(format!("spec.policy.quota.{}", name.value)));
        }
    }
    for rule in &given.deny {
        if deny::Rule::parse(&rule.value).is_some() {
            policy.deny.push(rule.value.clone());
        } else {
            let cause = format!("`{}` is not KIND, KIND.GROUP or KIND/TYPE", rule.value);
            let finding = Diagnostic::error("SPC022", cause).on("spec.policy.deny");
            found.push(
                rule.spot
                    .mark(finding.help("write Ingress, Ingress.networking.k8s.io or Service/LoadBalancer")),
            );
        }
    }
    let isolated = given.network.as_ref().filter(|network| network.value == NetworkBody::Isolated);
    if isolated.is_some() {
        policy.network = Network::Isolated;
    }
    let limit = given.quota.keys().next().map(|name| &name.spot).or(isolated.map(|network| &network.spot));
    if let Some(spot) = limit.filter(|_| policy.namespace != NamespacePolicy::Owned) {
        let cause = "quota and network isolation need a namespace of the environment's own";
        let finding = Diagnostic::error("SPC022", cause).on("spec.policy");
        found.push(spot.mark(finding.help("remove them, or use `namespace: owned`")));
    }
    policy
}

fn namespace(node: &Node) -> Option<NamespacePolicy> {
    match node.as_str() {
        Some("owned") => return Some(NamespacePolicy::Owned),
        Some(_) => return None,
        None => {}
    }
    let [entry] = node.entries() else { return None };
    let name = entry.value.as_str().filter(|name| is_label(name))?;
    (entry.key.value == "borrowed").then(|| NamespacePolicy::Borrowed(name.to_owned()))
}

/// What a spec may say but nothing acts on yet: said aloud, so that nobody relies on it. What its pods would wait
/// for in vain is refused.
pub(crate) fn not_carried_out(body: &Body) -> Vec<Diagnostic> {
    let mut fields: Vec<(&str, Spot)> = Vec::new();
    if let Some(lifecycle) = &body.lifecycle {
        fields.extend(
            lifecycle.sleep.as_ref().map(|sleep| ("spec.lifecycle.sleep", sleep.idle_for.spot.clone())),
        );
        fields.extend(
            lifecycle.delete.as_ref().map(|delete| ("spec.lifecycle.delete", delete.asleep_for.spot.clone())),
        );
    }
    let warn = |(field, spot): (&str, Spot)| {
        let finding =
            Diagnostic::error("SPC020", format!("`{field}` is understood, but not carried out yet"));
        spot.mark(finding.warning().on(field).help("do not rely on it"))
    };
    let refuse = |name: &Located<String>| {
        let finding = Diagnostic::error("SPC029", "Secrets of other namespaces are not copied yet");
        name.spot.mark(finding.on("spec.secrets").help(
            "remove `secrets`; a password of the environment's own is made by `generates` of a template",
        ))
    };
    fields.into_iter().map(warn).chain(body.secrets.keys().next().map(refuse)).collect()
}
