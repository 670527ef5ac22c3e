'use strict'

// Documents that were read before, kept as objects beside the engine's cache of texts. An object is handed out only as a
// copy, and only while the tip, which every process moves with each commit, says that nothing has changed since it was read,
// or only other documents. Such a read costs neither a call into native code nor parsing.

const { valueOf } = require('./answers.js')
const { isKept, KeptEntries } = require('./kept-entries.js')
const { copyDeep, copyFlat, flatSizeOf, flatSizeOfAll, sizeOf } = require('./object-copies.js')
const { MOST_OUTDATED, outdatedIds, updatedList } = require('./outdated-lists.js')

/** The keys of the whole list among the objects of a collection, with contents and without. */
const WHOLE_LIST = Symbol('whole list')
const HEAD_LIST = Symbol('list without contents')

/** How often callers have had anything forgotten. */
let forgotten = 0

/** Engine number → what this thread keeps of the engine. An engine that is no longer used is collected with its storages. */
const engines = new Map()
/** The numbers of engines of which nothing can be kept. They are not asked again. */
const unwatchable = new Set()

/**
 * Returns the objects of a collection, shared by all storages of this thread on it; undefined while its engine is not open,
 * or if memory cannot be watched. The limits of the engine are raised to the largest `limits` that any storage asks for.
 */
function objectsOf(documents, limits) {
  const number = documents.engine()
  if (number === null || unwatchable.has(number)) return undefined
  let engine = engines.get(number)?.deref()
  if (engine === undefined) {
    const watch = documents.watch()
    const page = watch === null ? null : watch.page()
    if (page === null) {
      unwatchable.add(number)
      return undefined
    }
    engine = new EngineObjects(number, watch, page)
    for (const [known, reference] of engines) if (reference.deref() === undefined) engines.delete(known)
    engines.set(number, new WeakRef(engine))
  }
  engine.meet(documents.session)
  return engine.collection(documents.path, limits)
}

/** Returns what this thread keeps of the engine that holds `documents`; undefined if it keeps nothing. */
function engineObjects(documents) {
  const number = documents.engine()
  return number === null ? undefined : objectsOfEngine(number)
}

/** Returns what this thread keeps of an engine, by the engine's number. */
function objectsOfEngine(number) {
  return engines.get(number)?.deref()
}

/**
 * Releases the engines that are closed. Garbage collection would do so some time, but Windows deletes no file that is still
 * mapped, nor the directory that it is in.
 */
function releaseClosed() {
  for (const [number, reference] of engines) {
    const engine = reference.deref()
    if (engine === undefined || engine.releaseIfClosed()) engines.delete(number)
  }
}

/** Forgets all that this thread keeps of the engine that holds `documents`. */
function forgetAll(documents) {
  forgotten += 1
  engineObjects(documents)?.clear()
}

/** Forgets all that is cached of the engine that holds `documents`. */
function clearCaches(documents) {
  documents.clearCache()
  forgetAll(documents)
}

/** Forgets a document, by its key in the map, and the lists, if anything is kept of the collection. */
function forgetDocument(collection, key) {
  forgotten += 1
  collection?.forgetWithLists(key)
}

/** The moment at which a call begins. */
const moment = () => ({ time: performance.now(), forgotten })

/** Whether anything was forgotten on request since then. The answer of a call that began then is not kept in that case. */
const isForgotten = (since) => since.forgotten !== forgotten

/** Up to this many collections are tracked without checking whether they are still used. */
const FEW_COLLECTIONS = 64

/** Stands in for the page of a closed engine: nothing is current. It has the same type, so that reading stays fast. */
const NO_BATCH_IS_LAST = new Float64Array([Infinity])

class EngineObjects {
  #watch
  #page
  #announced
  #acknowledged
  #seq = -1
  /** The objects of each collection, by path. They live as long as a storage holds them or they have entries. */
  #collections = new Map()
  /** Once there are this many collections, those that are gone are removed. */
  #mostCollections = FEW_COLLECTIONS
  #freshFor = 0
  /** The entries of all collections. */
  entries = new KeptEntries()
  #hits = 0
  #newestSession = -1
  /** Whether the engine was closed. Nothing is kept of it any more. */
  isReleased = false

  constructor(number, watch, page) {
    this.number = number
    this.#watch = watch
    this.#page = page
    this.#announced = new Float64Array(page, watch.announcedAt, 1)
    this.#acknowledged = new Float64Array(page, watch.acknowledgedAt, 1)
  }

  /** Drops all that is kept if the engine is closed, and returns whether it is. */
  releaseIfClosed() {
    if (this.#watch.isOpen) return false
    this.clear()
    this.isReleased = true
    this.#announced = this.#acknowledged = NO_BATCH_IS_LAST
    this.#watch.release(this.#page)
    return true
  }

  /**
   * Forgets everything for a new instance. It must see what a person edited before it was opened, even if the engine briefly
   * outlived earlier instances, so nothing that those read counts for it unchecked. Sessions are numbered in their order.
   */
  meet(session) {
    if (session <= this.#newestSession) return
    this.#newestSession = session
    forgotten += 1
    this.clear()
  }

  collection(path, { maxCacheSize, cacheTTL }) {
    this.entries.raise(maxCacheSize)
    this.#freshFor = Math.max(this.#freshFor, cacheTTL)
    let objects = this.#known(path)
    if (objects === undefined) {
      objects = new CollectionObjects(this, path)
      if (this.#collections.size >= this.#mostCollections) this.#removeUnused()
      this.#collections.set(path, new WeakRef(objects))
    }
    return objects
  }

  #known(path) {
    return this.#collections.get(path)?.deref()
  }

  #removeUnused() {
    for (const [path, reference] of this.#collections) if (reference.deref() === undefined) this.#collections.delete(path)
    this.#mostCollections = Math.max(FEW_COLLECTIONS, this.#collections.size * 2)
  }

  /** The number of milliseconds for which anything that was read is kept. */
  get freshFor() {
    return this.#freshFor
  }

  /** The last batch whose changes the objects reflect. */
  get seq() {
    return this.#seq
  }

  /** The last batch that any process has acknowledged. Every read that begins now sees it. */
  get acknowledged() {
    return this.#acknowledged[0]
  }

  /** Whether the objects reflect every batch that any process may have seen. */
  get isQuiet() {
    return this.#announced[0] <= this.#seq
  }

  /** Whether a collection has not changed since the batch `seq`, as far as the objects reflect batches. */
  isUnchangedSince(path, seq) {
    this.isCurrent()
    return this.#watch.isUnchangedSince(path, seq)
  }

  /** Forgets what has changed. Returns false while this process has not caught up with the others. */
  isCurrent() {
    return this.#announced[0] === this.#seq || this.#catchUp()
  }

  #catchUp() {
    const announced = this.#announced[0]
    const [seq, ...changes] = this.#watch.changesSince(this.#seq)
    if (changes[0] === null) this.clear()
    else for (let at = 0; at < changes.length; at += 2) this.#known(changes[at])?.forget(changes[at + 1])
    this.#seq = seq
    return seq >= announced
  }

  countHit() {
    this.#hits += 1
  }

  /** The reads that objects have answered since `takeHits` was last called. */
  get hits() {
    return this.#hits
  }

  /** Returns the number of reads that objects have answered since the last call. */
  takeHits() {
    const hits = this.#hits
    this.#hits = 0
    return hits
  }

  clear() {
    for (const reference of this.#collections.values()) reference.deref()?.clear()
  }
}

class CollectionObjects {
  #entries = new Map()
  /** The entries that were looked up by something other than their ids: name → entry. */
  #found = new Map()
  #path
  #keepsLists = true

  constructor(engine, path) {
    this.engine = engine
    this.#path = path
  }

  /** Returns a copy of the document with an id, or undefined. */
  get(id) {
    return this.#copyOf(this.#find(this.#entries, keyOf(id)))
  }

  /** Returns a copy of what `putFound` kept under a name, or undefined. */
  getFound(name) {
    return this.#copyOf(this.#find(this.#found, name))
  }

  #copyOf(entry) {
    if (entry === undefined) return undefined
    this.engine.countHit()
    return entry.copy(entry.value)
  }

  /** Returns a copy of a list, or undefined. What has changed since is read from `documents` if that is possible at once. */
  getList(kind, documents) {
    const entry = this.#findList(kind, documents)
    return entry && this.#listOf(entry)
  }

  #listOf(entry) {
    this.engine.countHit()
    return entry.value.map(entry.copy)
  }

  /** Returns what must be read so that `updateList` can bring a kept list up to date; undefined if that is unknown. */
  outdatedList(kind) {
    const entry = this.#find(this.#entries, kind)
    const ids = entry && outdatedIds(entry.value, entry.outdated)
    return ids && { entry, ids, seq: this.engine.seq }
  }

  /** Like `getList`, once the documents named by `outdatedList` were read. `added` holds those that exist. */
  updateList({ entry, seq }, added, documents) {
    if (!this.engine.isUnchangedSince(this.#path, seq)) return undefined
    // Another call may have updated the list in the meantime.
    if (this.#entries.get(entry.key) !== entry) return this.getList(entry.key, documents)
    const updated = this.#replaced(entry, added)
    return updated && this.#listOf(updated)
  }

  /** Returns the kept list itself, not to be changed, its engine, the batch it reflects and its expiry; or undefined. */
  whole(documents) {
    const entry = this.#findList(WHOLE_LIST, documents)
    if (entry === undefined) return undefined
    return { list: entry.value, engine: this.engine.number, seq: this.engine.seq, expires: entry.expires }
  }

  #findList(kind, documents) {
    const entry = this.#find(this.#entries, kind)
    return entry && this.#updated(entry, documents)
  }

  /** Returns a current entry, either of all entries by its key or of those found by name; undefined if there is none. */
  #find(entries, key) {
    if (!this.engine.isCurrent()) return undefined
    const entry = entries.get(key)
    if (entry === undefined) return undefined
    if (entry.expires <= performance.now()) {
      this.#remove(entry)
      return undefined
    }
    entry.used = true
    return entry
  }

  /** Returns the entry of a list with what has changed since it was kept; undefined if that cannot be had at once. */
  #updated(entry, documents) {
    if (entry.outdated.size === 0) return entry
    const ids = outdatedIds(entry.value, entry.outdated)
    const answer = ids && documents.peekSome(ids, entry.key === WHOLE_LIST)
    // What was read comes from one moment. The rest of the list is of that moment too if no batch came in between.
    return answer === undefined || !this.engine.isQuiet ? undefined : this.#replaced(entry, valueOf(answer))
  }

  /** Replaces a list by one with what was read of the documents that changed. */
  #replaced(entry, added) {
    const { key, value, outdated, expires } = entry
    this.#remove(entry)
    const updated = updatedList(value, outdated, added)
    const isFlat = entry.copy === copyFlat && !Number.isNaN(flatSizeOfAll(added))
    const size = entry.size + sizeOf(added) - sizeOf(updated.removed)
    return isKept(size) ? this.#put(key, updated.list, isFlat ? copyFlat : copyDeep, size, expires) : undefined
  }

  /** Keeps a current document for at most `freshFor` milliseconds. Returns a copy, or the document if it is too large. */
  put(id, value, freshFor) {
    const flat = flatSizeOf(value)
    const [copy, size] = Number.isNaN(flat) ? [copyDeep, sizeOf(value)] : [copyFlat, flat]
    if (!isKept(size)) return value
    this.#put(keyOf(id), value, copy, size, performance.now() + freshFor)
    return copy(value)
  }

  /** Like `put`, for a document looked up by name. Any change of the collection may give the name to another document. */
  putFound(name, id, value, freshFor) {
    const copy = this.put(id, value, freshFor)
    const entry = this.#entries.get(keyOf(id))
    // The new entry may have been evicted at once.
    if (entry !== undefined) {
      entry.name = name
      this.#found.set(name, entry)
    }
    return copy
  }

  /** Like `put`, for a list. */
  putList(kind, list, freshFor) {
    const flat = flatSizeOfAll(list)
    const [copy, size] = Number.isNaN(flat) ? [copyDeep, sizeOf(list)] : [copyFlat, flat]
    return isKept(size) ? this.#putList(kind, list, copy, size, performance.now() + freshFor) : list
  }

  /**
   * Like `putList`, for a list that was current after the batch `seq`. Returns undefined if the list is not kept: it may no
   * longer be current, or hold nested documents. Copying these costs about as much as parsing them, so such a list is kept
   * only once it is read again.
   */
  keepList(kind, list, seq, expires) {
    const size = flatSizeOfAll(list)
    this.#keepsLists = isKept(size)
    const isLate = expires <= performance.now()
    if (!this.#keepsLists || isLate || !this.engine.isUnchangedSince(this.#path, seq)) return undefined
    return this.#putList(kind, list, copyFlat, size, expires)
  }

  /** Whether lists like the last one are kept as soon as they are read. */
  get keepsLists() {
    return this.#keepsLists
  }

  #putList(kind, list, copy, size, expires) {
    this.#put(kind, list, copy, size, expires)
    return list.map(copy)
  }

  #put(key, value, copy, size, expires) {
    const before = this.#entries.get(key)
    if (before !== undefined) this.#remove(before)
    // The ids of the documents that have changed since a list was kept.
    const outdated = typeof key === 'symbol' ? new Set() : undefined
    const entry = { collection: this, key, name: undefined, value, outdated, copy, size, expires, used: false, turn: 0 }
    this.#entries.set(key, entry)
    this.engine.entries.add(entry)
    return entry
  }

  /** Forgets a document, by its key in the map, and the lists. */
  forgetWithLists(key) {
    this.forget(key)
    this.#removeAt(WHOLE_LIST)
    this.#removeAt(HEAD_LIST)
  }

  /** Forgets a document that has changed, by its key in the map; forgets everything if the key is null. */
  forget(key) {
    if (key === null) {
      this.clear()
      return
    }
    const id = keyOf(key)
    this.#found.clear()
    this.#removeAt(id)
    for (const kind of [WHOLE_LIST, HEAD_LIST]) {
      const outdated = this.#entries.get(kind)?.outdated
      if (outdated?.add(id).size > MOST_OUTDATED) this.#removeAt(kind)
    }
  }

  #removeAt(key) {
    const entry = this.#entries.get(key)
    if (entry !== undefined) this.#remove(entry)
  }

  clear() {
    for (const entry of this.#entries.values()) this.engine.entries.remove(entry)
    this.#entries.clear()
    this.#found.clear()
  }

  /** Called by the engine's entries once they have removed the entry. */
  drop(entry) {
    this.#entries.delete(entry.key)
    if (entry.name !== undefined) this.#found.delete(entry.name)
  }

  #remove(entry) {
    this.drop(entry)
    this.engine.entries.remove(entry)
  }
}

/** Returns one form for an id and its key in the map: most ids are numbers, which need no conversion to text to be found. */
function keyOf(id) {
  if (typeof id === 'number') return id
  const number = Number(id)
  return String(number) === id ? number : id
}

module.exports = {
  clearCaches,
  engineObjects,
  forgetAll,
  forgetDocument,
  isForgotten,
  moment,
  objectsOf,
  objectsOfEngine,
  releaseClosed,
  WHOLE_LIST,
  HEAD_LIST,
}
