//! Names a person may have meant.

/// Up to three known names near to an unknown one, nearest first.
#[must_use]
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut scored: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            let longest = name.chars().count().max(candidate.chars().count());
            *distance <= (longest / 3).max(1) || (name.len() > 2 && candidate.starts_with(name))
        })
        .collect();
    scored.sort();
    scored.dedup();
    scored.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// The known name that an unknown one is a slip of the keyboard away from, nearest first.
#[must_use]
pub fn slip<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|candidate| (strsim::osa_distance(name, candidate), candidate));
    scored.filter(|(distance, _)| (1..=2).contains(distance)).min().map(|(_, candidate)| candidate)
}

/// What to say about an unknown name: near names, else all known ones, else that there is none.
#[must_use]
pub fn hint<'a>(name: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    if let Some(space) = name.chars().find(|c| c.is_whitespace() && !c.is_ascii()) {
        let code = u32::from(space);
        return format!("replace U+{code:04X} in it by a space: it looks like one, and does not indent");
    }
    let known: Vec<&str> = known.into_iter().collect();
    let near = near(name, known.iter().copied());
    if !near.is_empty() {
        return format!("did you mean {}?", quoted(&near));
    }
    if known.is_empty() { format!("there is no {what}") } else { format!("known: {}", quoted(&known)) }
}

fn quoted(names: &[&str]) -> String {
    let mut text: Vec<String> = names.iter().take(20).map(|name| format!("`{name}`")).collect();
    if names.len() > 20 {
        text.push(format!("and {} more", names.len() - 20));
    }
    text.join(", ")
}
