//! Giving up calls that are under way.

use napi_derive::napi;

use crate::engine::Cancel;

/// One call that may be given up. JavaScript rejects its promise by itself; this ends the work behind it.
#[napi]
#[derive(Default)]
pub struct NativeAbort {
    cancel: Cancel,
}

#[napi]
impl NativeAbort {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> NativeAbort {
        NativeAbort::default()
    }

    #[napi(catch_unwind)]
    pub fn abort(&self) {
        self.cancel.cancel();
    }
}

/// The flag of a call; one that nobody raises where the caller cannot give up.
pub fn cancel_of(abort: Option<&NativeAbort>) -> Cancel {
    abort.map_or_else(Cancel::default, |abort| abort.cancel.clone())
}
