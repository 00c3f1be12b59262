//! Finds undefined names before anything is rendered, also where Tera takes them for false.

use std::collections::BTreeSet;

use serde_json::Value;
use spec::{Diagnostic, near};

use crate::scan::{self, Part, Tag, Token, TokenKind};

/// What a template may name.
pub(crate) struct Scope<'a> {
    /// Every variable: name to value.
    pub values: &'a Value,
    /// Paths that are declared but have no value here, such as `wires.target` of an optional requirement.
    pub absent: &'a BTreeSet<String>,
    /// Names that the surrounding template sets, for a partial.
    pub extra: &'a BTreeSet<String>,
}

const KEYWORDS: [&str; 14] =
    ["and", "or", "not", "in", "is", "if", "else", "for", "true", "True", "false", "False", "loop", "self"];
const NOTHING: [&str; 3] = ["none", "None", "null"];

/// Names that a template sets itself: `set`, `for`, component arguments.
fn locals(source: &str) -> BTreeSet<String> {
    let mut locals = BTreeSet::new();
    for part in scan::parts(source) {
        let Part::Tag(tag) = part else { continue };
        match tag.keyword() {
            Some("set" | "set_global") => {
                locals.extend(tag.tokens.get(1).and_then(Token::ident).map(str::to_owned))
            }
            Some("component") => locals.extend(tag.tokens.iter().filter_map(Token::ident).map(str::to_owned)),
            _ => {}
        }
        // Loops and comprehensions: what stands between `for` and `in`.
        let mut inside = false;
        for token in &tag.tokens {
            match token.ident() {
                Some("for") => inside = true,
                Some("in") => inside = false,
                Some(name) if inside => {
                    locals.insert(name.to_owned());
                }
                _ => {}
            }
        }
    }
    locals
}

/// A name as it is used: `params.days`.
struct Use<'a> {
    at: usize,
    path: Vec<&'a str>,
    /// Tested with `is defined` or `is undefined` right here.
    tested: bool,
    /// Its truth is asked for, which Tera does for an undefined name as well.
    lenient: bool,
}

/// The names that a template uses without setting or testing them itself: they have to come from outside.
pub(crate) struct Names {
    pub locals: BTreeSet<String>,
    wanted: Vec<Wanted>,
}

struct Wanted {
    at: usize,
    path: Vec<String>,
    lenient: bool,
}

impl Names {
    pub(crate) fn of(source: &str) -> Self {
        let locals = locals(source);
        let mut tested: BTreeSet<String> = BTreeSet::new();
        let mut wanted = Vec::new();
        for part in scan::parts(source) {
            let Part::Tag(tag) = part else { continue };
            let uses = uses(&tag);
            tested.extend(uses.iter().filter(|name| name.tested).map(|name| name.path.join(".")));
            let outside = |name: &Use<'_>| !locals.contains(name.path[0]) && !is_tested(&tested, &name.path);
            wanted.extend(uses.into_iter().filter(outside).map(|Use { at, path, lenient, .. }| {
                let path = path.into_iter().map(str::to_owned).collect();
                Wanted { at, path, lenient }
            }));
        }
        Self { locals, wanted }
    }

    /// Every use of an undefined name in the template that these are the names of.
    pub(crate) fn check(&self, file: &str, source: &str, scope: &Scope<'_>) -> Vec<Diagnostic> {
        let unknown = self.wanted.iter().filter(|name| !scope.extra.contains(&name.path[0]));
        let finding = |name: &Wanted| {
            let finding = undefined(name, scope, &self.locals)?;
            let (line, column) = scan::position(source, name.at);
            Some(finding.at(file, line, column).with_source(source))
        };
        unknown.filter_map(finding).collect()
    }
}

/// Every use of an undefined name in a template.
pub(crate) fn check(file: &str, source: &str, scope: &Scope<'_>) -> Vec<Diagnostic> {
    Names::of(source).check(file, source, scope)
}

/// The same where no values are known: every use of a name that is not declared. What is inside of free-form
/// values is not judged.
pub(crate) fn undeclared(file: &str, source: &str, scope: &Scope<'_>) -> Vec<Diagnostic> {
    let mut names = Names::of(source);
    names.wanted.iter_mut().for_each(|name| name.lenient = false);
    names.check(file, source, scope)
}

fn is_tested(tested: &BTreeSet<String>, path: &[&str]) -> bool {
    (1..=path.len()).any(|length| tested.contains(&path[..length].join(".")))
}

fn undefined(name: &Wanted, scope: &Scope<'_>, locals: &BTreeSet<String>) -> Option<Diagnostic> {
    let mut value = scope.values;
    for (depth, step) in name.path.iter().enumerate() {
        let known = value.as_object();
        if let Some(next) = known.and_then(|map| map.get(step)) {
            value = next;
            continue;
        }
        let path = name.path[..=depth].join(".");
        // What is declared is checked everywhere; the inside of free-form values where Tera would not.
        let declared = depth == 0
            || (depth == 1
                && matches!(name.path[0].as_str(), "params" | "env" | "wires")
                && !scope.absent.contains(&path))
            || (depth == 2 && name.path[0] == "wires");
        if !declared && !name.lenient {
            return None;
        }
        let mut names: Vec<&str> =
            known.map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default();
        if depth == 0 {
            names.extend(locals.iter().map(String::as_str));
        }
        let help = if scope.absent.contains(&path) {
            format!("it is optional and not wired here: test it with `{path} is defined`")
        } else {
            match (depth, name.path[0].as_str()) {
                (1, "params") if names.is_empty() => "declare it under `parameters`".to_owned(),
                (1, "wires") if names.is_empty() => "declare it under `requires`".to_owned(),
                (0, _) => near::hint(step, "name", names),
                _ if names.is_empty() => {
                    format!("`{}` has nothing inside", name.path[..depth].join("."))
                }
                _ => near::hint(step, "name", names),
            }
        };
        return Some(Diagnostic::error("TPL001", format!("`{path}` is undefined")).help(help));
    }
    None
}

/// The names a tag uses: not those of filters, functions, tests, arguments, keys and blocks.
fn uses<'a>(tag: &Tag<'a>) -> Vec<Use<'a>> {
    let tokens = &tag.tokens;
    let skip = match tag.keyword() {
        Some("component" | "block" | "endblock" | "endcomponent" | "extends" | "include" | "raw") => {
            return Vec::new();
        }
        Some("filter" | "set" | "set_global") => 2,
        Some(_) => 1,
        None if tokens.first().is_some_and(|token| token.is("<")) => 2,
        None => 0,
    };
    let condition = matches!(tag.keyword(), Some("if" | "elif"))
        || tokens.iter().any(|token| matches!(token.ident(), Some("and" | "or" | "not" | "if")));
    let mut names = Vec::new();
    let mut brackets: Vec<&str> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let token = &tokens[index];
        match token.kind {
            TokenKind::Punct(open @ ("{" | "[" | "(")) => brackets.push(open),
            TokenKind::Punct("}" | "]" | ")") => drop(brackets.pop()),
            _ => {}
        }
        let name = token.ident().filter(|name| index >= skip && !is_word(name));
        let Some(name) = name.filter(|_| !is_other(tokens, index, brackets.last().copied())) else {
            index += 1;
            continue;
        };
        let (path, next) = path(tokens, index, name);
        let after = |offset: usize| tokens.get(next + offset).and_then(Token::ident);
        let tested = after(0) == Some("is")
            && (matches!(after(1), Some("defined" | "undefined"))
                || (after(1) == Some("not") && matches!(after(2), Some("defined" | "undefined"))));
        names.push(Use { at: token.at, path, tested, lenient: condition });
        index = next;
    }
    names
}

fn is_word(name: &str) -> bool {
    KEYWORDS.contains(&name) || NOTHING.contains(&name) || name.starts_with("__tera")
}

/// Whether the name at `index` is that of a filter, test, function, argument or key.
fn is_other(tokens: &[Token<'_>], index: usize, bracket: Option<&str>) -> bool {
    let before = |offset: usize| index.checked_sub(offset).and_then(|at| tokens.get(at));
    let next_is = |punct: &str| tokens.get(index + 1).is_some_and(|token| token.is(punct));
    let test = before(1).and_then(Token::ident) == Some("is")
        || (before(1).and_then(Token::ident) == Some("not")
            && before(2).and_then(Token::ident) == Some("is"));
    before(1).is_some_and(|token| token.is("|") || token.is(".") || token.is("?."))
        || test
        || next_is("(")
        || next_is("=")
        || (next_is(":") && bracket == Some("{"))
}

/// The dotted path that begins at `index`, and the index after it.
fn path<'a>(tokens: &[Token<'a>], index: usize, name: &'a str) -> (Vec<&'a str>, usize) {
    let mut path = vec![name];
    let mut at = index + 1;
    loop {
        let kind = |offset: usize| tokens.get(at + offset).map(|token| token.kind);
        match (kind(0), kind(1), kind(2)) {
            (Some(TokenKind::Punct(".")), Some(TokenKind::Ident(step)), _) => {
                path.push(step);
                at += 2;
            }
            (Some(TokenKind::Punct("[")), Some(TokenKind::Text(step)), Some(TokenKind::Punct("]"))) => {
                path.push(step);
                at += 3;
            }
            _ => return (path, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn undefined(source: &str) -> Vec<String> {
        let values = json!({"name": "db", "params": {"days": 1, "o": {"k": 1}}, "wires": {"t": {"host": "h"}}, "env": {"id": "x"}});
        let absent = BTreeSet::from(["wires.opt".to_owned()]);
        let scope = Scope { values: &values, absent: &absent, extra: &BTreeSet::new() };
        check("f", source, &scope).into_iter().map(|finding| finding.cause).collect()
    }

    #[test]
    fn defined() {
        for source in [
            "{{ name }} {{ params.days + 1 }} {{ wires.t.host | quote }} {{ env['id'] }}",
            "{% for k, v in params.o %}{{ k }}{{ v.deep }}{{ loop.index }}{% endfor %}",
            "{% set x = 1 %}{{ x }}{% if x is defined and x > 0 %}y{% endif %}",
            "{{ file(path='a') | nindent(n=4) }}{{ [y for y in [1] if y] }}{{ {'k': name, k: 1} }}",
            "{% if wires.opt is defined %}{{ wires.opt.host }}{% endif %}",
            "{% if missing is not defined %}a{% endif %}{% filter upper %}a{% endfilter %}",
            "{{ 1 if params.days == 1 else 2 }}{{ params.o.deep }}",
            "{% raw %}{{ missing }}{% endraw %}{# {{ missing }} #}{{ params.days is string }}",
        ] {
            assert_eq!(undefined(source), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn not_defined() {
        for (source, name) in [
            ("{{ nam }}", "nam"),
            ("{% if params.dayz %}{% endif %}", "params.dayz"),
            ("{{ params.dayz | default(value=1) }}", "params.dayz"),
            ("{% if name and missing %}{% endif %}", "missing"),
            ("{% if params.o.deep %}{% endif %}", "params.o.deep"),
            ("{{ params.o.deep or 1 }}", "params.o.deep"),
            ("{{ wires.t.hots }}", "wires.t.hots"),
            ("{% if wires.opt %}{% endif %}", "wires.opt"),
            ("{{ f(x=missing) }}", "missing"),
            ("{% for a in missing %}{% endfor %}", "missing"),
            ("{{ env[\"idd\"] }}", "env.idd"),
            ("{% set x = missing %}", "missing"),
            ("{{ {'k': missing} }}", "missing"),
            ("{{ name if missing else 1 }}", "missing"),
        ] {
            assert_eq!(undefined(source), vec![format!("`{name}` is undefined")], "{source}");
        }
    }
}
