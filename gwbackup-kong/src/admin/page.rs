//! Lists, a page at a time.

use std::collections::HashSet;

use bytes::Bytes;
use gwbackup_core::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

/// The most rows that Kong gives at a time.
const SIZE: &str = "1000";

/// Follows the offsets of one list.
///
/// The next address is made of the `offset`, not taken from `next`: old versions give a whole
/// address, and those below another entity drop the size.
#[derive(Debug)]
pub(super) struct Walk {
    first: Url,
    seen: HashSet<String>,
}

impl Walk {
    pub(super) fn new(mut list: Url, tags: &[String]) -> Self {
        list.query_pairs_mut().append_pair("size", SIZE);
        if !tags.is_empty() {
            list.query_pairs_mut().append_pair("tags", &tags.join(","));
        }
        Self { first: list, seen: HashSet::new() }
    }

    pub(super) fn first(&self) -> Url {
        self.first.clone()
    }

    /// The address of the page after this one. `Invalid` for a list that does not come to an end.
    pub(super) fn next(&mut self, page: &Page<'_>) -> Result<Option<Url>> {
        let Some(offset) = page.offset()? else { return Ok(None) };
        if page.rows.is_empty() {
            return Err(Error::invalid("the node gives an empty page and says that more follows"));
        }
        let mut url = self.first.clone();
        url.query_pairs_mut().append_pair("offset", &offset);
        if !self.seen.insert(offset) {
            return Err(Error::invalid("the node gives the same page again and again"));
        }
        Ok(Some(url))
    }
}

/// One page; rows as they came.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) rows: Vec<&'a RawValue>,
    offset: Option<String>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    offset: Option<String>,
    next: Option<String>,
}

impl<'a> Page<'a> {
    /// `Invalid` for what is no page of a list.
    pub(super) fn parse(body: &'a Bytes) -> Result<Self> {
        let Body { data, offset, next } = serde_json::from_slice(body).map_err(|_| no_list())?;
        // An empty table of Lua may be written as an object.
        let rows = match data.get() {
            "{}" => Vec::new(),
            list => serde_json::from_str(list).map_err(|_| no_list())?,
        };
        Ok(Self { rows, offset, next })
    }

    /// Where the next page begins; `None` on the last.
    fn offset(&self) -> Result<Option<String>> {
        if self.offset.is_some() || self.next.is_none() {
            return Ok(self.offset.clone());
        }
        let query = self.next.as_deref().and_then(|next| next.split_once('?')).map(|(_, q)| q);
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let found =
            pairs.into_iter().find(|(name, _)| name == "offset").map(|(_, v)| v.into_owned());
        found
            .map(Some)
            .ok_or_else(|| Error::invalid("the node does not say where its next page is"))
    }
}

fn no_list() -> Error {
    Error::invalid("what the node gives is no list of entities")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk() -> Walk {
        Walk::new(Url::parse("http://h/kong/keys").unwrap(), &["a b".to_owned(), "c".to_owned()])
    }

    fn next(walk: &mut Walk, body: &'static str) -> Result<Option<String>> {
        let body = Bytes::from_static(body.as_bytes());
        let page = Page::parse(&body)?;
        walk.next(&page).map(|url| url.map(String::from))
    }

    #[test]
    fn a_walk_follows_offsets_and_keeps_size_and_tags() {
        let mut walk = walk();
        assert_eq!(walk.first().query(), Some("size=1000&tags=a+b%2Cc"));
        let body = r#"{"data":[{"id":"1"}],"next":"http://elsewhere/x?offset=q","offset":"a|b="}"#;
        let url = next(&mut walk, body).unwrap().unwrap();
        assert_eq!(url, "http://h/kong/keys?size=1000&tags=a+b%2Cc&offset=a%7Cb%3D");
        assert_eq!(next(&mut walk, r#"{"data":[],"next":null}"#).unwrap(), None);
    }

    #[test]
    fn an_old_version_names_its_next_page_in_an_address_alone() {
        let body = r#"{"data":[{"id":"1"}],"next":"http://h:8001/keys?offset=WyI%3D"}"#;
        let url = next(&mut walk(), body).unwrap().unwrap();
        assert!(url.ends_with("&offset=WyI%3D"), "{url}");
    }

    #[test]
    fn a_list_that_does_not_end_is_refused() {
        let body = r#"{"data":[{"id":"1"}],"next":"/x","offset":"a"}"#;
        let mut walk = walk();
        next(&mut walk, body).unwrap();
        assert!(next(&mut walk, body).is_err(), "an offset that repeats");
        assert!(next(&mut walk, r#"{"data":{},"next":"/x","offset":"b"}"#).is_err(), "no rows");
        assert!(next(&mut walk, r#"{"data":[1],"next":"/x"}"#).is_err(), "no offset");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for body in ["<html>", "[]", "{}", r#"{"data":3}"#, r#"{"data":[{}],"offset":3}"#] {
            assert!(Page::parse(&Bytes::from_static(body.as_bytes())).is_err(), "{body}");
        }
    }
}
