//! Lists in pages: whole, or an error.

use std::{collections::HashSet, time::Duration};

use reqwest::header::{self, HeaderMap};
use serde_json::Value;
use url::Url;

use crate::{
    Error, Result,
    dialect::Paging,
    http::{Answer, Api, Call},
};

/// Pages that are read at most: 20000 items of GitHub, 10000 of Gitea.
const PAGES: usize = 200;

/// How long to wait before a list that was not complete is read again.
const READ_AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// What was gathered so far.
#[derive(Default)]
struct Gathered {
    items: Vec<Value>,
    ids: HashSet<u64>,
    /// Length of the first page, which is the size the server really uses.
    size: usize,
}

impl Api {
    /// All items of a list, in the forge's order. One that changes while it is read is read again.
    pub(crate) async fn list(&self, call: Call) -> Result<Vec<Value>> {
        let call = call.with(self.dialect.page_size());
        for pause in READ_AGAIN {
            match self.list_once(call.clone()).await {
                Err(error @ Error::Incomplete { .. }) => {
                    tracing::debug!(%error, "the list is read again");
                    tokio::time::sleep(pause).await;
                }
                answer => return answer,
            }
        }
        self.list_once(call).await
    }

    async fn list_once(&self, mut call: Call) -> Result<Vec<Value>> {
        let paging = self.dialect.paging();
        let query = call.query.clone();
        let mut next: Option<Url> = None;
        let mut gathered = Gathered::default();
        for page in 1..=PAGES {
            if paging == Paging::Count {
                call.query = query.clone();
                call.query.push(("page", page.to_string()));
            }
            let answer = match &next {
                Some(url) => self.call_at(url, &call).await?,
                None => self.call(&call).await?,
            };
            let Answer::Found { headers, body } = answer else {
                return Err(if page == 1 {
                    self.not_found(&call)
                } else {
                    incomplete(&call, "a page is missing")
                });
            };
            let found = gathered.take(&call, body)?;
            let goes_on = match paging {
                Paging::Link => {
                    next = self.next(&call, &headers)?;
                    next.is_some()
                }
                Paging::Count => gathered.is_short(&call, &headers, found)?,
            };
            if !goes_on {
                return Ok(gathered.items);
            }
        }
        Err(incomplete(&call, &format!("it has more than {PAGES} pages")))
    }

    /// The address of the next page, which must be below the API base: the token goes there.
    fn next(&self, call: &Call, headers: &HeaderMap) -> Result<Option<Url>> {
        let Some(next) = next_link(headers) else { return Ok(None) };
        match Url::parse(&next) {
            Ok(url) if self.owns(&url) => Ok(Some(url)),
            _ => Err(incomplete(call, "the next page is said to be outside the API, and is not asked for")),
        }
    }
}

impl Gathered {
    /// Adds a page; how many it has.
    fn take(&mut self, call: &Call, body: Value) -> Result<usize> {
        let Value::Array(page) = body else {
            return Err(Error::Unexpected { what: call.what.clone(), why: "it is not a list".to_owned() });
        };
        let found = page.len();
        for item in page {
            let Some(id) = item.get("id").and_then(Value::as_u64) else {
                return Err(Error::Unexpected {
                    what: call.what.clone(),
                    why: "an item has no id".to_owned(),
                });
            };
            if !self.ids.insert(id) {
                return Err(incomplete(call, "an item is there twice"));
            }
            self.items.push(item);
        }
        if self.size == 0 {
            self.size = found;
        }
        Ok(found)
    }

    /// Whether more pages follow the one of `found` items. Gitea cuts the size of a page to its own limit, and
    /// answers with all comments at once, so only its count says where the end is. Without a count and a link
    /// the end is an empty page.
    fn is_short(&self, call: &Call, headers: &HeaderMap, found: usize) -> Result<bool> {
        let goes_on = match total(call, headers)? {
            Some(total) if total < self.items.len() => {
                let why = format!("{} items, where the forge counts {total}", self.items.len());
                return Err(incomplete(call, &why));
            }
            Some(total) => self.items.len() < total,
            None if headers.contains_key(header::LINK) => next_link(headers).is_some(),
            None => return Ok(found > 0),
        };
        if goes_on && found < self.size.max(1) {
            return Err(incomplete(call, &format!("a page of {found} items is not the last")));
        }
        Ok(goes_on)
    }
}

fn incomplete(call: &Call, why: &str) -> Error {
    Error::Incomplete { what: call.what.clone(), why: why.to_owned() }
}

/// What `X-Total-Count` says.
fn total(call: &Call, headers: &HeaderMap) -> Result<Option<usize>> {
    let Some(count) = headers.get("x-total-count") else { return Ok(None) };
    match count.to_str().ok().and_then(|count| count.trim().parse().ok()) {
        Some(count) => Ok(Some(count)),
        None => Err(incomplete(call, "its count is not a number")),
    }
}

/// The target of `rel="next"` in the `Link` headers (RFC 8288).
fn next_link(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::LINK).into_iter().filter_map(|value| value.to_str().ok());
    for link in values.flat_map(links) {
        let (target, parameters) = link;
        let is_next =
            parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
                let value = value.trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("rel")
                    && value.split(' ').any(|word| word.eq_ignore_ascii_case("next"))
            });
        if is_next {
            return Some(target.to_owned());
        }
    }
    None
}

/// Targets and parameters of a `Link` header. A comma separates links only in front of a `<`.
fn links(header: &str) -> Vec<(&str, &str)> {
    let parts = header.split('<').skip(1);
    parts
        .filter_map(|part| part.split_once('>'))
        .map(|(target, rest)| (target, rest.trim_end_matches([',', ' '])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_one_called_next() {
        let next = |link: &str| {
            next_link(&std::iter::once((header::LINK, link.parse().unwrap())).collect::<HeaderMap>())
        };
        let github = "<https://api/x?page=1&a=b,c>; rel=\"prev\", <https://api/x?page=3>; rel=\"next\", <https://api/x?page=9>; rel=\"last\"";
        assert_eq!(next(github).as_deref(), Some("https://api/x?page=3"));
        assert_eq!(next("<https://h/2>; title=\"a\"; rel=next").as_deref(), Some("https://h/2"));
        assert_eq!(next("<https://h/2>; rel=\"last next\"").as_deref(), Some("https://h/2"));
        assert_eq!(next("<https://h/2>; rel=\"last\""), None);
        assert_eq!(next("<https://h/next>; rel=\"first\", <https://h/n>; rel=\"nextish\""), None);
        assert_eq!(next("rel=\"next\""), None);
    }
}
