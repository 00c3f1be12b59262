//! A rendering as another process can send it back: with the texts that its objects were read from, so that a
//! fault that is found later still has its line.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mark::Mapped;
use crate::origin::{Origin, Text};
use crate::rendered::Rendered;

/// A [`Rendered`] and what serialising it alone would lose.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    rendered: Rendered,
    texts: Vec<CarriedText>,
    /// Of each object, in their order.
    origins: Vec<CarriedOrigin>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CarriedText {
    path: String,
    source: String,
    text: String,
    lines: Vec<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CarriedOrigin {
    /// Index of its text; an object of a text that is not there has no lines, and is as good without.
    text: Option<usize>,
    document: usize,
    item: Option<usize>,
}

impl From<Rendered> for Carried {
    fn from(rendered: Rendered) -> Self {
        let mut texts = Vec::new();
        let mut known: HashMap<*const Text, usize> = HashMap::new();
        let origins = rendered.objects.iter().map(|object| {
            let Origin { text, document, item } = &object.origin;
            let text = text.as_ref().map(|text| {
                *known.entry(Arc::as_ptr(text)).or_insert_with(|| {
                    texts.push(CarriedText {
                        path: text.path.clone(),
                        source: text.source.to_string(),
                        text: text.mapped.text.clone(),
                        lines: text.mapped.lines.clone(),
                    });
                    texts.len() - 1
                })
            });
            CarriedOrigin { text, document: *document, item: *item }
        });
        let origins = origins.collect();
        Self { rendered, texts, origins }
    }
}

impl From<Carried> for Rendered {
    fn from(carried: Carried) -> Self {
        let Carried { mut rendered, texts, origins } = carried;
        let texts: Vec<Arc<Text>> = texts
            .into_iter()
            .map(|CarriedText { path, source, text, lines }| {
                Arc::new(Text::new(&path, &source.into(), Mapped { text, lines }))
            })
            .collect();
        for (object, CarriedOrigin { text, document, item }) in rendered.objects.iter_mut().zip(origins) {
            let text = text.and_then(|index| texts.get(index)).cloned();
            object.origin = Origin { text, document, item };
        }
        rendered
    }
}

/// Values with their places, for the field `values` of a request.
pub(crate) mod node {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;
    use spec::node::{Entry, Kind};
    use spec::{Located, Node, Spot};

    #[derive(Serialize, Deserialize)]
    struct Place(String, usize, usize);

    #[derive(Serialize, Deserialize)]
    enum Tree {
        Leaf(Place, Value),
        List(Place, Vec<Tree>),
        Map(Place, Vec<(Place, String, Tree)>),
    }

    impl From<&Spot> for Place {
        fn from(spot: &Spot) -> Self {
            Self(spot.file.to_string(), spot.line, spot.column)
        }
    }

    impl From<Place> for Spot {
        fn from(Place(file, line, column): Place) -> Self {
            Self { file: file.into(), line, column }
        }
    }

    impl From<&Node> for Tree {
        fn from(node: &Node) -> Self {
            let place = Place::from(&node.spot);
            let entry =
                |entry: &Entry| ((&entry.key.spot).into(), entry.key.value.clone(), (&entry.value).into());
            match &node.kind {
                Kind::List(items) => Self::List(place, items.iter().map(Self::from).collect()),
                Kind::Map(entries) => Self::Map(place, entries.iter().map(entry).collect()),
                _ => Self::Leaf(place, node.to_value()),
            }
        }
    }

    impl From<Tree> for Node {
        fn from(tree: Tree) -> Self {
            let entry = |(spot, key, value): (Place, String, Tree)| Entry {
                key: Located { value: key, spot: spot.into() },
                value: value.into(),
            };
            match tree {
                Tree::Leaf(place, value) => Self::from_value(&value, &place.into()),
                Tree::List(place, items) => {
                    let kind = Kind::List(items.into_iter().map(Self::from).collect());
                    Self { spot: place.into(), kind }
                }
                Tree::Map(place, entries) => {
                    let kind = Kind::Map(entries.into_iter().map(entry).collect());
                    Self { spot: place.into(), kind }
                }
            }
        }
    }

    pub(crate) fn serialize<S: Serializer>(node: &Option<Node>, serializer: S) -> Result<S::Ok, S::Error> {
        node.as_ref().map(Tree::from).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Node>, D::Error> {
        Ok(Option::<Tree>::deserialize(deserializer)?.map(Node::from))
    }
}
