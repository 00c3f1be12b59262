//! Where an object was written: from a field of it to the line of the template.

use std::fmt;
use std::sync::{Arc, OnceLock};

use spec::{Diagnostic, HIDDEN, Node, Spot, yaml};

use crate::mark::Mapped;

/// A rendered manifest file and the template it came from.
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) source: Arc<str>,
    pub(crate) mapped: Mapped,
    /// Its documents with places, read only when there is something to say about a field.
    nodes: OnceLock<Vec<Node>>,
}

impl Text {
    pub(crate) fn new(path: &str, source: &Arc<str>, mapped: Mapped) -> Self {
        Self { path: path.to_owned(), source: Arc::clone(source), mapped, nodes: OnceLock::new() }
    }

    /// The template line of a rendered line, both from 1.
    pub(crate) fn line(&self, rendered: usize) -> usize {
        self.mapped.line(rendered)
    }
}

/// Where one object stands in the text it was read from. Says nothing about the object itself, so two origins
/// are always equal.
#[derive(Clone, Default)]
pub struct Origin {
    pub(crate) text: Option<Arc<Text>>,
    pub(crate) document: usize,
    /// Its place in a `kind: List`.
    pub(crate) item: Option<usize>,
}

impl Origin {
    pub(crate) fn new(text: &Arc<Text>, document: usize, item: Option<usize>) -> Self {
        Self { text: Some(Arc::clone(text)), document, item }
    }

    /// Puts a finding at the template line of a field of the object that is called `title`. Lines of a Secret
    /// are not shown.
    pub(crate) fn mark(&self, path: &[String], finding: Diagnostic, title: &str) -> Diagnostic {
        self.put(path, finding, title, |node, steps| node.locate(steps.iter().copied()))
    }

    /// Like [`Origin::mark`], at the key of the field.
    pub(crate) fn mark_key(&self, path: &[String], finding: Diagnostic, title: &str) -> Diagnostic {
        self.put(path, finding, title, |node, steps| node.locate_key(steps.iter().copied()))
    }

    fn put(
        &self,
        path: &[String],
        finding: Diagnostic,
        title: &str,
        locate: impl for<'n> Fn(&'n Node, &[&str]) -> &'n Spot,
    ) -> Diagnostic {
        let Some(text) = &self.text else { return finding.on(title) };
        let read = || yaml::document_nodes(&text.path, &text.mapped.text).unwrap_or_default();
        let item = self.item.map(|item| vec!["items".to_owned(), item.to_string()]).unwrap_or_default();
        let steps: Vec<&str> = item.iter().chain(path).map(String::as_str).collect();
        let nodes = text.nodes.get_or_init(read);
        let spot = nodes.get(self.document).map(|node| locate(node, &steps).clone()).unwrap_or_default();
        let mut finding = match spot.line {
            0 => finding.on(title),
            _ => back(spot.mark(finding), &text.source, &text.mapped).on(title),
        };
        if title.starts_with("Secret") {
            finding.snippet = Some(HIDDEN.to_owned());
        }
        finding
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Moves a finding from the rendered text to the template line it comes from.
pub(crate) fn back(mut finding: Diagnostic, source: &str, mapped: &Mapped) -> Diagnostic {
    let Some(place) = &mut finding.place else { return finding };
    let rendered = mapped.text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    let line = mapped.line(place.line);
    let template = source.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    // The column is that of the file only as far as rendering left the line as it was.
    let same = rendered.chars().zip(template.chars()).take_while(|(a, b)| a == b).count();
    if rendered != template && same < place.column {
        let inset = template.chars().take_while(|c| c.is_whitespace()).count() + 1;
        place.column = template.find("{{").map_or(inset, |at| template[..at].chars().count() + 1);
    }
    place.line = line;
    if finding.code.starts_with("YML")
        && template.contains("{{")
        && (finding.help.is_none() || finding.code == "YML004")
    {
        finding.help =
            Some("a value may have changed the structure: use `| quote` or `| to_json`".to_owned());
    }
    finding.with_source(source)
}
