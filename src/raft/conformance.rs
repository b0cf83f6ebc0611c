//! openraft's own storage suite, on every store.

use std::io;
use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::feed::{ApplySink, Feed};
use super::log::LogStore;
use super::machine::{Loaded, StateMachine};
use super::types::TypeConfig;
use crate::machine::State;
use crate::model::{Event, Instant};
use crate::store::{MemoryStore, Store};

struct Deaf;

impl ApplySink for Deaf {
    fn applied(&self, _: Arc<State>, _: Vec<Event>) {}
    fn replaced(&self, _: Arc<State>, _: Arc<State>) {}
}

/// Builds empty stores; the guard keeps what a store lives in.
struct Builder<F>(F);

impl<F, G> StoreBuilder<TypeConfig, LogStore, StateMachine, G> for Builder<F>
where
    F: Fn() -> (G, Arc<dyn Store>) + Send + Sync,
    G: Send + Sync,
{
    async fn build(&self) -> Result<(G, LogStore, StateMachine), StorageError<TypeConfig>> {
        let (guard, store) = (self.0)();
        let machine = machine(store.clone()).unwrap();
        Ok((guard, LogStore::new(store), machine))
    }
}

fn machine(store: Arc<dyn Store>) -> io::Result<StateMachine> {
    let loaded = Loaded::from(store.as_ref())?;
    let feed = Feed::start(Arc::new(Deaf), loaded.state.clone(), loaded.index(), Instant(0));
    StateMachine::new(store, loaded, Arc::new(feed))
}

#[tokio::test]
async fn the_memory_store_conforms() {
    let builder = Builder(|| ((), Arc::new(MemoryStore::new()) as Arc<dyn Store>));
    Suite::test_all(builder).await.unwrap();
}

#[cfg(feature = "rocksdb")]
#[tokio::test]
async fn the_rocks_store_conforms() {
    let builder = Builder(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::RocksStore::open(dir.path().join("data"), "conformance").unwrap();
        (dir, Arc::new(store) as Arc<dyn Store>)
    });
    Suite::test_all(builder).await.unwrap();
}
