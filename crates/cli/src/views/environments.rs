//! Environments and their components.

use engine::status::{ComponentStatus, EnvironmentStatus};

use crate::{
    args::Output,
    ui::{BAD, GOOD, WARN},
    views::{age, plain, table},
};

/// All environments, one line each.
pub fn list(environments: &[EnvironmentStatus], output: Output) -> String {
    if output == Output::Name {
        return environments.iter().map(|environment| format!("{}\n", environment.name)).collect();
    }
    let mut header = vec!["NAME", "SPEC", "REF", "REVISION", "STATE", "AGE", "EXPIRES"];
    if output == Output::Wide {
        header.extend(["ID", "REPOSITORY", "NAMESPACE"]);
    }
    let rows = environments
        .iter()
        .map(|environment| {
            let mut row = vec![
                environment.name.clone(),
                environment.spec.clone(),
                plain(&environment.r#ref),
                short(&environment.revision, output),
                match &environment.phase {
                    Some(phase) => format!("{}: {phase}", environment.state),
                    None => environment.state.clone(),
                },
                age(environment.age),
                environment.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
            ];
            if output == Output::Wide {
                row.extend([
                    environment.id.clone(),
                    environment.repository.clone(),
                    environment.namespace.clone(),
                ]);
            }
            row
        })
        .collect();
    table(&header, rows)
}

/// One environment with its components.
pub fn status(environment: &EnvironmentStatus) -> String {
    let mut lines = vec![
        format!("Name:        {}", environment.name),
        format!("Spec:        {}", environment.spec),
        format!("Repository:  {}", plain(&environment.repository)),
        format!("Ref:         {}", plain(&environment.r#ref)),
        format!("Revision:    {}", environment.revision),
        format!("Namespace:   {}", environment.namespace),
        format!("State:       {}", colored(&environment.state)),
        format!("Age:         {}", age(environment.age)),
        format!("Expires:     {}", environment.expires_at.as_deref().unwrap_or("never")),
    ];
    if let Some(teardown) = &environment.teardown {
        lines.push(format!("Teardown:    {}", plain(&teardown.sentence())));
    }
    if let Some(message) = &environment.message {
        lines.push(format!("Message:     {}", plain(message)));
    }
    lines.push(String::new());
    lines.push(components(&environment.components));
    lines.join("\n")
}

/// Components: component, kind, state, age, endpoint.
pub fn components(components: &[ComponentStatus]) -> String {
    let rows = components
        .iter()
        .map(|component| {
            vec![
                component.name.clone(),
                component.kind.clone(),
                component.state.clone(),
                age(component.age),
                component.endpoints.join(", "),
                plain(&component.cause),
            ]
        })
        .collect();
    table(&["COMPONENT", "KIND", "STATE", "AGE", "ENDPOINT", ""], rows)
}

fn colored(state: &str) -> String {
    let style = match state {
        "Ready" => GOOD,
        "Failed" | "DeleteBlocked" => BAD,
        _ => WARN,
    };
    format!("{style}{state}{style:#}")
}

fn short(revision: &str, output: Output) -> String {
    if output == Output::Wide { revision.to_owned() } else { revision.chars().take(12).collect() }
}
