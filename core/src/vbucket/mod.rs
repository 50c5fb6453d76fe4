//! One vbucket: what keeps its writers apart.

pub mod lock;
