'use strict'

// The context of `AsyncLocalStorage` outside of requests and tests. What native code calls back keeps the context in which
// it was created, with everything in it, for as long as it lives.

const { AsyncResource } = require('node:async_hooks')
const { Port } = require('./native.js')

/**
 * The context in which the addon was first used, kept beside the addon: the package may be evaluated again inside a test or
 * a request, and a context that leads to that evaluation would never be garbage-collected.
 */
Port.outside ??= new AsyncResource('octoprompt-storage')

/** Calls a function in that context. */
const outside = (work) => Port.outside.runInAsyncScope(work)

module.exports = { outside }
