//! A region as a source.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gwbackup_core::model::{
    Captured, Description, Finding, HandleName, Handles, Limits, Revision, Scope,
};
use gwbackup_core::source::{BoxStream, Known, Purpose, Source};
use gwbackup_core::{Context, Error, Result};

use crate::gateway::Aws;
use crate::preflight;
use crate::read::{Node, Wanted, gaps};
use crate::table::{self, Row};

#[async_trait]
impl Source for Aws {
    fn address(&self) -> String {
        format!("aws://{}", self.config().region)
    }

    async fn describe(&self, cx: &Context) -> Result<Description> {
        let handles = Handles::from([
            (HandleName::known("account"), self.caller(cx).await?.account),
            (HandleName::known("region"), self.config().region.clone()),
        ]);
        Ok(Description {
            product: "AWS API Gateway".to_owned(),
            version: "2015-07-09, 2018-11-29".to_owned(),
            handles,
            schema: Arc::clone(self.0.rules.schema()),
            limits: Limits { parallel_writes: self.config().calls, ..Limits::default() },
        })
    }

    async fn preflight(
        &self,
        cx: &Context,
        purpose: Purpose,
        scope: &Scope,
    ) -> Result<Vec<Finding>> {
        preflight::run(self, cx, purpose, scope).await
    }

    /// The service has no mark that moves with everything.
    async fn revision(&self, cx: &Context, _: &Scope) -> Result<Option<Revision>> {
        cx.check().map(|()| None)
    }

    fn read(
        &self,
        cx: &Context,
        _: &Description,
        scope: &Scope,
        known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        let wanted = Wanted { scope: scope.clone(), known, without_exports: false };
        let rows: Vec<&'static Row> = table::roots().filter(|row| wanted.has(row)).collect();
        let calls = self.config().calls.into();
        let token = cx.clone();
        let reader = (self.clone(), cx.clone(), Arc::new(wanted));
        let lister = reader.clone();
        // All lists first: one that waits for its answer while trees are read would keep its place
        // among the calls under way, and those of the trees would wait for it.
        let listed = stream::iter(rows)
            .map(move |row| {
                let (aws, cx, wanted) = lister.clone();
                async move { aws.units(&cx, row, &wanted).await }
            })
            .buffered(calls)
            .try_collect::<Vec<_>>();
        let units = stream::once(listed).flat_map(|units| match units {
            Ok(units) => stream::iter(units.into_iter().flatten().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        });
        let items = units
            .map(move |unit| {
                let (aws, cx, wanted) = reader.clone();
                async move {
                    match unit? {
                        Unit::Gap(captured) => Ok(vec![captured]),
                        Unit::Root(node) => {
                            let scope = wanted.scope.clone();
                            Ok(aws.tree(&cx, *node, &wanted).await?.captured(&aws, &scope))
                        }
                    }
                }
            })
            .buffer_unordered(calls)
            .flat_map(|found: Result<Vec<Captured>>| match found {
                Ok(all) => stream::iter(all.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            });
        // An error ends it, and so does a cancellation between two things that were read already.
        Box::pin(items.scan(false, move |ended, item| {
            let item = if *ended { None } else { Some(token.check().and(item)) };
            *ended = matches!(item, Some(Err(_)) | None);
            std::future::ready(item)
        }))
    }
}

/// What is read by itself.
enum Unit {
    Root(Box<Node>),
    Gap(Captured),
}

impl Aws {
    /// The roots of a row that lie in the scope.
    async fn units(&self, cx: &Context, row: &'static Row, wanted: &Wanted) -> Result<Vec<Unit>> {
        cx.check()?;
        let first = |key: &gwbackup_core::model::Key| -> Option<String> {
            let own = Row::of(&key.kind)?.root();
            (own.kind == row.kind)
                .then(|| key.id.segments().next().map(std::borrow::Cow::into_owned))?
        };
        // Below something of any kind lies what has its id before its own.
        let under: BTreeSet<String> = wanted.scope.under.iter().filter_map(first).collect();
        if !wanted.scope.under.is_empty() && under.is_empty() {
            return Ok(Vec::new());
        }
        let found = if under.is_empty() {
            self.roots(cx, row).await
        } else {
            let mut found = Vec::new();
            for id in &under {
                match self.root(cx, row, id).await {
                    Ok(root) => found.extend(root),
                    Err(error) => return unread(row, error),
                }
            }
            Ok(found)
        };
        match found {
            Ok(found) => Ok(found.into_iter().map(|node| Unit::Root(Box::new(node))).collect()),
            Err(error) => unread(row, error),
        }
    }
}

fn unread(row: &'static Row, error: Error) -> Result<Vec<Unit>> {
    let gaps = gaps(row, None, error)?;
    Ok(gaps.into_iter().map(|gap| Unit::Gap(Captured::Gap(gap))).collect())
}
