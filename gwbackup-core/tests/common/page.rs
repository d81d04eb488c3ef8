//! Looks at an HTML page as a browser's parser would, as far as our pages go.

/// What a page is made of. Panics when a tag is not closed in its order, an attribute would fetch
/// or run something, or text could be read as markup.
pub(crate) fn look_at(page: &str) -> String {
    let empty = ["meta", "rect"];
    let (mut open, mut text) = (Vec::new(), String::new());
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    while let Some(at) = rest.find('<') {
        let said = &rest[..at];
        assert!(!said.contains('>'), "a loose bracket: {said}");
        if open.last() != Some(&"style") {
            text.push_str(said);
            text.push(' ');
        }
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed out of order");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        let known = "html head meta title style body main header h1 h2 h3 p ul li b span dl dt dd \
                     table thead tbody tr th td svg rect text";
        assert!(
            known.split_whitespace().any(|k| k == name),
            "an element that we do not write: {tag}"
        );
        for word in [" href", " src=", "url(", " on", " action", "javascript:", "http:", "https:"] {
            assert!(!tag.contains(word), "{word} in {tag}");
        }
        if !empty.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    let style = &page[page.find("<style>").unwrap()..page.find("</style>").unwrap()];
    assert!(!style.contains("url(") && !style.contains("@import"), "the style fetches something");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
