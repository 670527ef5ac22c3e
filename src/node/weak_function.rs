//! A function of JavaScript that native code can call without keeping it, and thereby its module, in memory.

use std::cell::Cell;
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{FromNapiValue, Function};
use napi::{Env, JsValue, Result, check_status, sys};

/// Lives and is dropped on the thread of its environment.
pub struct WeakFunction {
    env: sys::napi_env,
    reference: sys::napi_ref,
    /// Whether the reference also keeps the function.
    kept: Cell<bool>,
}

impl WeakFunction {
    pub fn new(env: &Env, function: &Function<'_, (), ()>) -> Result<Rc<WeakFunction>> {
        let (env, mut reference) = (env.raw(), ptr::null_mut());
        // SAFETY: the function belongs to this environment. A reference with a count of 0 is weak.
        check_status!(unsafe { sys::napi_create_reference(env, function.raw(), 0, &mut reference) })?;
        Ok(Rc::new(WeakFunction { env, reference, kept: Cell::new(false) }))
    }

    /// Determines whether the function is kept in memory. It must still be there.
    pub fn keep(&self, kept: bool) -> Result<()> {
        if self.kept.replace(kept) == kept {
            return Ok(());
        }
        let change = if kept { sys::napi_reference_ref } else { sys::napi_reference_unref };
        // SAFETY: the reference exists until it is dropped. Its count is 0 or 1, as `kept` was.
        check_status!(unsafe { change(self.env, self.reference, ptr::null_mut()) })
    }

    /// Calls the function, if it is still there.
    pub fn call(&self) -> Result<()> {
        let mut value = ptr::null_mut();
        // SAFETY: the reference exists until it is dropped.
        check_status!(unsafe { sys::napi_get_reference_value(self.env, self.reference, &mut value) })?;
        if value.is_null() {
            return Ok(());
        }
        // SAFETY: the reference was made of such a function.
        let function = unsafe { Function::<'_, (), ()>::from_napi_value(self.env, value) }?;
        function.call(())
    }

    /// Returns a function that calls this one, and does not keep it either.
    pub fn caller<'env>(self: &Rc<Self>, env: &'env Env) -> Result<Function<'env, (), ()>> {
        let own = Rc::clone(self);
        env.create_function_from_closure("wake", move |_| own.call())
    }
}

impl Drop for WeakFunction {
    fn drop(&mut self) {
        // SAFETY: nothing else deletes the reference, and the environment outlives the values that own this.
        unsafe { sys::napi_delete_reference(self.env, self.reference) };
    }
}
