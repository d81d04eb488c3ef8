//! What goes wrong, call by call.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails with this kind and has no effect.
    Fail(ErrorKind),
    /// The call has its effect, and its answer is lost: `Unavailable`.
    LoseAnswer,
}

/// One call that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Its number, from 1, counted over all operations of the wrapper.
    pub number: u64,
    /// The trait's method.
    pub operation: &'static str,
    /// The object, key or step; empty where the method has none.
    pub subject: &'a str,
}

type Rule = Box<dyn FnMut(Call<'_>) -> Option<Fault> + Send>;

/// Decides, call by call, what goes wrong. Cheap to clone; clones share count and rule.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<Inner>>);

struct Inner {
    calls: u64,
    rule: Rule,
}

impl Faults {
    /// Nothing goes wrong; calls are counted.
    pub fn none() -> Self {
        Self::when(|_| None)
    }

    /// Call `number` meets `fault`; all others pass.
    pub fn nth(number: u64, fault: Fault) -> Self {
        Self::when(move |call| (call.number == number).then_some(fault))
    }

    /// Every call from `number` on meets `fault`: the part has died.
    pub fn from_nth(number: u64, fault: Fault) -> Self {
        Self::when(move |call| (call.number >= number).then_some(fault))
    }

    /// `rule` decides.
    pub fn when(rule: impl FnMut(Call<'_>) -> Option<Fault> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Inner { calls: 0, rule: Box::new(rule) })))
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).calls
    }

    /// Counts a call and says what it meets.
    pub fn next(&self, operation: &'static str, subject: &str) -> Option<Fault> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.calls += 1;
        let number = inner.calls;
        (inner.rule)(Call { number, operation, subject })
    }

    /// Runs `call` under the rule.
    pub async fn around<T>(
        &self,
        operation: &'static str,
        subject: &str,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        match self.next(operation, subject) {
            None => call.await,
            Some(Fault::Fail(kind)) => Err(Error::new(kind, format!("injected into {operation}"))),
            Some(Fault::LoseAnswer) => {
                call.await?;
                let message = format!("injected: the answer of {operation} is lost");
                Err(Error::new(ErrorKind::Unavailable, message))
            }
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("calls", &self.calls()).finish_non_exhaustive()
    }
}
