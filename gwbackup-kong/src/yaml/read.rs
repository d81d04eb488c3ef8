//! From YAML's events to a tree.

use std::collections::{HashMap, HashSet};

use gwbackup_core::{Error, Result};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{MAX_DEPTH, scalar};
use crate::node::{Map, Node};

/// What aliases may add to a file, in values: enough for hand-written anchors, too little for a
/// file that grows by repeating itself.
const MAX_EXPANSION: usize = 1_000_000;

/// The tree of a YAML text. `Invalid` with line and column, never with content.
pub(crate) fn parse(text: &str) -> Result<Node> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            let (line, column) = (at.line(), at.col() + 1);
            Error::invalid(format!("this is no YAML at line {line} column {column}"))
        })?;
        builder.event(event).map_err(|error| at(&error, &span))?;
    }
    builder.root.ok_or_else(|| Error::invalid("the file is empty"))
}

fn at(error: &Error, span: &Span) -> Error {
    let (line, column) = (span.start.line(), span.start.col() + 1);
    let placed = Error::invalid(format!("{} at line {line} column {column}", error.message()));
    match error.advice() {
        Some(help) => placed.help(help),
        None => placed,
    }
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    documents: usize,
    expanded: usize,
}

struct Anchored {
    node: Node,
    /// Values in it, itself included.
    size: usize,
    /// Levels in it.
    depth: usize,
}

struct Open {
    anchor: usize,
    what: Collection,
}

enum Collection {
    List(Vec<Node>),
    /// The members, which names there are, and the name that waits for its value.
    Map(Map, HashSet<String>, Option<String>),
}

impl Builder {
    fn event(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(
                        Error::invalid("a second YAML document").help("keep one document per file")
                    );
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let waits_for_name = matches!(
                    self.open.last(),
                    Some(Open { what: Collection::Map(_, _, None), .. })
                );
                let plain = style == ScalarStyle::Plain;
                let text_tag = is_text_tag(tag.as_deref())?;
                let node = if waits_for_name {
                    if plain && text == "<<" {
                        return Err(
                            Error::invalid("a merge key").help("write the merged members out")
                        );
                    }
                    Node::Text(text.into_owned())
                } else if plain && !text_tag {
                    scalar::plain(text)?
                } else {
                    Node::Text(text.into_owned())
                };
                self.add(node, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Collection::List(Vec::new()), anchor, tag.as_deref())?;
            }
            Event::MappingStart(anchor, tag) => {
                let map = Collection::Map(Vec::new(), HashSet::new(), None);
                self.open(map, anchor, tag.as_deref())?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { anchor, what }) = self.open.pop() {
                    let node = match what {
                        Collection::List(items) => Node::List(items),
                        Collection::Map(members, ..) => Node::Map(members),
                    };
                    self.add(node, anchor)?;
                }
            }
            Event::Alias(anchor) => self.alias(anchor)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, what: Collection, anchor: usize, tag: Option<&Tag>) -> Result<()> {
        if tag.is_some() {
            return Err(tagged());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.open.push(Open { anchor, what });
        Ok(())
    }

    fn alias(&mut self, anchor: usize) -> Result<()> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(Error::invalid("an alias inside the value that it repeats"));
        };
        self.expanded += anchored.size;
        if self.expanded > MAX_EXPANSION {
            return Err(Error::invalid("aliases that repeat too much")
                .help("write the repeated values out"));
        }
        if self.open.len() + anchored.depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let node = anchored.node.clone();
        self.add(node, 0)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<()> {
        if anchor > 0 {
            let (size, depth) = measure(&node);
            self.expanded += size;
            if self.expanded > MAX_EXPANSION {
                return Err(Error::invalid("anchors on too much"));
            }
            self.anchors.insert(anchor, Anchored { node: node.clone(), size, depth });
        }
        match self.open.last_mut().map(|open| &mut open.what) {
            None => self.root = Some(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map(members, names, waiting)) => match (waiting.take(), node) {
                (Some(name), node) => members.push((name, node)),
                (None, Node::Text(name)) => {
                    if !names.insert(name.clone()) {
                        return Err(Error::invalid("a member that stands twice in one mapping"));
                    }
                    *waiting = Some(name);
                }
                (None, _) => return Err(Error::invalid("a name that is no plain text")),
            },
        }
        Ok(())
    }
}

fn measure(node: &Node) -> (usize, usize) {
    let inner = |parts: &mut dyn Iterator<Item = &Node>| {
        parts.map(measure).fold((1, 0), |(size, depth), (s, d)| (size + s, depth.max(d)))
    };
    let (size, depth) = match node {
        Node::Token(_) | Node::Text(_) => return (1, 0),
        Node::List(items) => inner(&mut items.iter()),
        Node::Map(members) => inner(&mut members.iter().map(|(_, value)| value)),
    };
    (size, depth + 1)
}

/// Whether a scalar's tag says that it is text, as `!!str` and `!` do.
fn is_text_tag(tag: Option<&Tag>) -> Result<bool> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(true),
        // Without a name: whatever it looks like, it is no number.
        Some(tag) if matches!((&*tag.handle, &*tag.suffix), ("!", "") | ("", "!")) => Ok(true),
        Some(_) => Err(tagged()),
    }
}

fn tagged() -> Error {
    Error::invalid("a YAML tag").help("remove the tag; quote what is meant as text")
}

fn too_deep() -> Error {
    Error::invalid("more than 128 levels")
}
