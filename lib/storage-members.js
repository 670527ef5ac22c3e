'use strict'

// The members of storages that only the modules of this package use.

/** The native collection of a storage. */
const documents = Symbol('documents')
/** Starts a read off the JavaScript thread, where it may wait: `(start, signal, operation)`. */
const read = Symbol('read')
/**
 * Starts a write and remembers it until it is answered, so that `close()` can wait for it: `(start, signal, operation,
 * entities, given, { otherwise, within })`. `given` holds texts, or `Records` that native code receives before the write
 * starts. `otherwise` returns `{ start, given }` for another attempt, as in `Writes`. `operation` and `entities` are
 * reported in events.
 */
const write = Symbol('write')
/** The writes of the instance that have not been answered yet. */
const writes = Symbol('writes')
/** The change feeds that are open on the instance. */
const feeds = Symbol('feeds')
/** The documents that this thread keeps as objects. */
const objects = Symbol('objects')
/** Looks up those objects while the instance has none yet. */
const findObjects = Symbol('findObjects')
/** Checks an id that a caller passed: a number or a string. */
const checkId = Symbol('checkId')
/** Reads all documents, with or without their large field. */
const readList = Symbol('readList')
/** Throws if the storage is closed. */
const ensureOpen = Symbol('ensureOpen')
/** The steps of a storage within a transaction. */
const scope = Symbol('scope')
/** Closes the native side. */
const finish = Symbol('finish')

module.exports = { checkId, documents, ensureOpen, feeds, findObjects, finish, objects, read, readList, scope, write, writes }
