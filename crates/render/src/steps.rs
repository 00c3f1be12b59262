//! Steps: where a template can take long, it tells the [`Files`] it is rendered from that it is about to go on.
//!
//! Tera knows no limit of its own. So each round of a loop and of a list comprehension, each call of a component,
//! and every `set` and `include` begins with a filter of ours, which writes nothing and may end the rendering.
//! Filters are put where they cannot change the output: white space that a tag eats is eaten as before.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use spec::{Diagnostic, Files};
use tera::{Kwargs, State, Tera, TeraResult, Value};

use crate::filters::Findings;
use crate::scan::{self, Part, Tag, TokenKind};

/// Name of the filter. Names of Tera's own have two underscores in front as well.
const FILTER: &str = "__mimeo_step";

/// What ends a rendering: nothing that is found after one of these means anything.
const LIMITS: [&str; 2] = ["TPL003", "TPL014"];

/// Whether a finding is about a limit of the whole rendering.
#[must_use]
pub fn is_limit(finding: &Diagnostic) -> bool {
    LIMITS.contains(&finding.code)
}

/// A file and a line of it, from 1.
type Place = (Arc<str>, usize);

/// The places steps are taken at; a step names its own by its index.
#[derive(Clone, Default)]
pub(crate) struct Steps(Arc<RwLock<Vec<Place>>>);

impl Steps {
    /// Makes the filter known.
    pub(crate) fn register(&self, tera: &mut Tera, commit: &Arc<dyn Files>, findings: &Findings) {
        let (commit, findings, places) = (Arc::clone(commit), findings.clone(), self.clone());
        tera.register_filter(FILTER, move |index: Value, _: Kwargs, _: &State| -> TeraResult<&'static str> {
            let places = places.0.read().unwrap_or_else(PoisonError::into_inner);
            let place = index.as_u64().and_then(|index| places.get(usize::try_from(index).ok()?));
            if let Some((file, line)) = place {
                commit.step(file, *line).map_err(|finding| findings.tell(*finding))?;
            }
            Ok("")
        });
    }

    /// Puts steps into a template; lines stay where they are.
    pub(crate) fn put<'s>(&self, file: &str, source: &'s str) -> Cow<'s, str> {
        let breaks: OnceCell<Vec<usize>> = OnceCell::new();
        self.at(source, file, |offset| {
            let breaks = breaks.get_or_init(|| source.match_indices('\n').map(|(at, _)| at).collect());
            breaks.partition_point(|at| *at < offset) + 1
        })
    }

    /// Puts steps into a string that stands at one place of a file.
    pub(crate) fn put_at<'s>(&self, file: &str, line: usize, source: &'s str) -> Cow<'s, str> {
        self.at(source, file, |_| line)
    }

    fn at<'s>(&self, source: &'s str, file: &str, line: impl Fn(usize) -> usize) -> Cow<'s, str> {
        let mut wanted = wanted(source);
        if wanted.is_empty() {
            return Cow::Borrowed(source);
        }
        wanted.sort_by_key(|step| step.at);
        let file: Arc<str> = file.into();
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::with_capacity(source.len() + 40 * wanted.len());
        let mut copied = 0;
        for Step { at, of, form } in wanted {
            out.push_str(&source[copied..at]);
            copied = at;
            let index = places.len();
            // Writing into a string cannot fail.
            let _ = match form {
                Form::Tag { before, after } => {
                    let (before, after) = (if before { "-" } else { "" }, if after { "-" } else { "" });
                    write!(out, "{{{{{before} {index} | {FILTER} {after}}}}}")
                }
                Form::Condition => write!(out, " if ({index} | {FILTER}) == \"\" "),
                Form::ConditionBefore => write!(out, " ({index} | {FILTER}) == \"\" and ("),
                Form::Close => {
                    out.push(')');
                    continue;
                }
            };
            places.push((Arc::clone(&file), line(of)));
        }
        out.push_str(&source[copied..]);
        Cow::Owned(out)
    }
}

/// One insertion.
struct Step {
    /// Where, in bytes.
    at: usize,
    /// What it tells of, in bytes.
    of: usize,
    form: Form,
}

enum Form {
    /// A tag of its own, which eats white space on a side where the tag beside it did.
    Tag { before: bool, after: bool },
    /// The condition of a list comprehension that has none.
    Condition,
    /// In front of the condition of a list comprehension, whose end is a [`Form::Close`].
    ConditionBefore,
    /// The bracket behind it.
    Close,
}

/// Whether a template may take steps at all, at a glance: most of them need not be read for it.
fn may_step(source: &str) -> bool {
    let begins = |(at, _): (usize, &str)| {
        let word = source[at + 2..].trim_start_matches('-').trim_start();
        ["for", "set", "include", "component"].iter().any(|keyword| word.starts_with(keyword))
    };
    source.match_indices("{%").any(begins) || (source.contains(" for ") && source.contains('['))
}

fn wanted(source: &str) -> Vec<Step> {
    let mut wanted = Vec::new();
    if !may_step(source) {
        return wanted;
    }
    for part in scan::parts(source) {
        let Part::Tag(tag) = part else { continue };
        // A template that extends another has nothing but blocks, and its first tag must be the first.
        if tag.keyword() == Some("extends") {
            return Vec::new();
        }
        let trims_after = source[..tag.end].ends_with("-%}");
        match tag.keyword() {
            Some("for" | "component") => {
                let form = Form::Tag { before: false, after: trims_after };
                wanted.push(Step { at: tag.end, of: tag.at, form });
            }
            Some("set" | "set_global" | "include") => {
                let form = Form::Tag { before: tag.trims_before, after: false };
                wanted.push(Step { at: tag.at, of: tag.at, form });
            }
            _ => {}
        }
        comprehensions(&tag, &mut wanted);
    }
    wanted
}

/// The list comprehensions of a tag: `[x for x in list if condition]`.
fn comprehensions(tag: &Tag<'_>, wanted: &mut Vec<Step>) {
    /// An open bracket, and how far the comprehension in it has come.
    struct Open {
        list: bool,
        begun: Option<usize>,
        conditional: bool,
    }
    let mut open: Vec<Open> = Vec::new();
    let mut attribute = false;
    for token in &tag.tokens {
        match (token.kind, open.last_mut()) {
            (TokenKind::Punct("["), _) => {
                open.push(Open { list: true, begun: None, conditional: false });
            }
            (TokenKind::Punct("(" | "{"), _) => {
                open.push(Open { list: false, begun: None, conditional: false });
            }
            (TokenKind::Punct("]" | ")" | "}"), _) => {
                if let Some(Open { begun: Some(of), conditional, .. }) = open.pop() {
                    let form = if conditional { Form::Close } else { Form::Condition };
                    wanted.push(Step { at: token.at, of, form });
                }
            }
            (TokenKind::Ident("for"), Some(last)) if last.list && !attribute => last.begun = Some(token.at),
            (TokenKind::Ident("if"), Some(last)) if !attribute => {
                if let Some(of) = last.begun.filter(|_| !last.conditional) {
                    last.conditional = true;
                    wanted.push(Step { at: token.at + "if".len(), of, form: Form::ConditionBefore });
                }
            }
            _ => {}
        }
        attribute = token.is(".") || token.is("?.");
    }
}
