//! Wakers are foreign code: nothing is locked when one is called or goes away.

use std::sync::Arc;
use std::task::{Wake, Waker};

use tailswap::device::MemoryVolume;
use tailswap::event::Events;
use tailswap::sim::SimHost;
use tailswap::store::CommitStyle;
use tailswap::vbucket::VBucket;

/// Uses the vbucket when it goes away.
struct Curious(VBucket);

impl Wake for Curious {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Curious {
    fn drop(&mut self) {
        self.0.snapshot().unwrap();
    }
}

#[test]
fn a_waker_that_another_replaces_may_use_the_vbucket() {
    let (volume, host) = (Arc::new(MemoryVolume::new()), Arc::new(SimHost::still()));
    let vbucket = VBucket::create(volume, host, 0, 1, CommitStyle::Flip, Events::none()).unwrap();
    vbucket.wake_on_pace(Waker::from(Arc::new(Curious(vbucket.clone()))));
    vbucket.wake_on_pace(Waker::noop().clone());
}
