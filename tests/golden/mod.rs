//! The golden files and what reads them. Included by the library's own tests, which know the private formats.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod book;
mod pack;

pub(crate) use book::Book;
#[allow(unused_imports, reason = "the integration tests have no use for it")]
pub(crate) use book::file;
