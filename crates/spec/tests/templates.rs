//! The shipped templates: the table in each README is what `template.yaml` says.
//!
//! `UPDATE_EXPECT=1` rewrites the tables.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the finding")]

use std::{fmt::Write as _, fs, path::Path};

use spec::MemoryFiles;
use spec::parameter::{Format, Parameter, Type};
use spec::template::{self, Template};

const BEGIN: &str = "<!-- parameters -->\n";
const END: &str = "<!-- /parameters -->";

#[test]
fn readmes_have_every_parameter() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates").canonicalize().unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(&root).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let mut files = MemoryFiles::default();
        let text = fs::read(root.join(&name).join("template.yaml")).unwrap();
        files.insert(format!("templates/{name}/template.yaml"), text);
        let template = template::load(&files, "", &name).unwrap().unwrap();
        let readme = root.join(&name).join("README.md");
        let old = fs::read_to_string(&readme).unwrap();
        let (before, rest) = old.split_once(BEGIN).unwrap_or_else(|| panic!("{name}: no {BEGIN}"));
        let (_, after) = rest.split_once(END).unwrap();
        let new = format!("{before}{BEGIN}{}{END}{after}", table(&template));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&readme, &new).unwrap();
        } else {
            assert_eq!(old, new, "{name}: run with UPDATE_EXPECT=1 and review");
        }
        seen += 1;
    }
    assert!(seen >= 9, "{seen} templates");
}

fn table(template: &Template) -> String {
    let mut text = String::from("| parameter | type | default | |\n|---|---|---|---|\n");
    for (name, parameter) in &template.body.parameters {
        let default = match &parameter.default {
            Some(default) => format!("`{}`", default.to_value()),
            None => "to be given".to_owned(),
        };
        let about = parameter.description.as_deref();
        let about = about.unwrap_or_else(|| panic!("{} has no description", name.value));
        let name = &name.value;
        writeln!(text, "| `{name}` | {} | {} | {} |", shape(parameter), cell(&default), cell(about)).unwrap();
    }
    let mut wires = String::new();
    for (name, requirement) in &template.body.requires {
        let optional = if requirement.optional { ", optional" } else { "" };
        writeln!(wires, "| `{}` | `{}`{optional} |", name.value, requirement.contract.value).unwrap();
    }
    if !wires.is_empty() {
        write!(text, "\n| wire | contract |\n|---|---|\n{wires}").unwrap();
    }
    text
}

fn shape(parameter: &Parameter) -> String {
    if let Some(choices) = &parameter.choices {
        let choices: Vec<String> = choices.iter().map(|choice| format!("`{}`", choice.to_value())).collect();
        return cell(&choices.join(", "));
    }
    match (parameter.format, &parameter.items) {
        (Some(Format::Quantity), _) => "quantity".to_owned(),
        (Some(Format::Duration), _) => "duration".to_owned(),
        (None, Some(items)) if parameter.r#type == Type::Array => format!("array of {}", items.r#type),
        (None, _) => parameter.r#type.to_string(),
    }
}

/// A bar would begin another cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
