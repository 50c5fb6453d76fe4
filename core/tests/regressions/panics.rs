//! A listener that panics takes down the flush that called it, and nothing else.

use std::sync::Arc;

use tailswap::Error;
use tailswap::device::{MemoryVolume, SystemHost};
use tailswap::engine::{Engine, EngineOptions, set};
use tailswap::event::{Event, EventSink, Events};

/// Panics when a flush of this vbucket begins.
struct Panics(u16);

impl EventSink for Panics {
    fn event(&self, event: Event) {
        if let Event::FlushStarted { vbucket, .. } = event {
            assert_ne!(vbucket, self.0, "told to panic");
        }
    }
}

#[test]
fn whoever_waits_for_a_flush_that_panicked_is_told_and_so_is_the_shutdown() {
    let options = EngineOptions {
        flusher_threads: 1,
        events: Events::to(Arc::new(Panics(1))),
        ..EngineOptions::default()
    };
    let (volume, host) = (Arc::new(MemoryVolume::new()), Arc::new(SystemHost::new().unwrap()));
    let engine = Engine::open(volume.clone(), host.clone(), options).unwrap();
    for vbucket in [1, 2] {
        engine.create(vbucket).unwrap();
    }
    let lost = engine.mutate(1, set(b"key", b"lost")).unwrap();
    let given_up = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::FlushFailing { vbucket: 1, .. }), "{error}");
    };
    given_up(engine.wait_persisted(lost));
    // The only thread that flushes goes on with others.
    let kept = engine.mutate(2, set(b"key", b"kept")).unwrap();
    engine.wait_persisted(kept).unwrap();
    given_up(
        engine.mutate(1, set(b"key", b"later")).and_then(|later| engine.wait_persisted(later)),
    );
    given_up(engine.shutdown());

    let engine = Engine::open(volume, host, EngineOptions::default()).unwrap();
    assert_eq!(engine.snapshot(1).unwrap().counts().live, 0);
    assert_eq!(engine.snapshot(2).unwrap().counts().live, 1);
    engine.shutdown().unwrap();
}
