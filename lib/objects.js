'use strict'

// Documents that were read before, kept as objects beside the engine's cache of texts. An object is handed out as a copy,
// and only while the tip, which every process moves with each commit, says that nothing has changed since it was read or
// that the change was of something else. So a read costs neither a call into native code nor parsing.

const { valueOf } = require('./answers.js')
const { isKept, KeptEntries } = require('./kept-entries.js')
const { copyDeep, copyFlat, flatSizeOf, flatSizeOfAll, sizeOf } = require('./object-copies.js')
const { MOST_OUTDATED, outdatedIds, updatedList } = require('./outdated-lists.js')

/** Marks the whole list among the objects of a collection, with contents and without. */
const WHOLE_LIST = Symbol('whole list')
const HEAD_LIST = Symbol('list without contents')

/** How often callers had anything forgotten. */
let forgotten = 0

/** Engine number → what this thread keeps of it. An engine that nobody uses any more goes with its storages. */
const engines = new Map()
/** The numbers of engines of which nothing can be kept: they are not asked again. */
const unwatchable = new Set()

/**
 * The objects of a collection, shared by all storages of this thread on it; undefined while its engine is not open, or
 * where memory cannot be watched. `limits` are raised to the largest that any storage asks for.
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

/** What this thread keeps of the engine that some documents are in; undefined if it keeps nothing. */
function engineObjects(documents) {
  const number = documents.engine()
  return number === null ? undefined : objectsOfEngine(number)
}

/** What this thread keeps of an engine, by its number. */
function objectsOfEngine(number) {
  return engines.get(number)?.deref()
}

/**
 * Lets go of the engines that are closed. Garbage would be collected some time, but Windows removes no file that is still mapped,
 * nor the directory that it is in.
 */
function releaseClosed() {
  for (const [number, reference] of engines) {
    const engine = reference.deref()
    if (engine === undefined || engine.releaseIfClosed()) engines.delete(number)
  }
}

/** Forgets all that this thread keeps of the engine that some documents are in. */
function forgetAll(documents) {
  forgotten += 1
  engineObjects(documents)?.clear()
}

/** Forgets what a collection, if any is kept, has of a document, by its key in the map, and the lists. */
function forgetDocument(collection, key) {
  forgotten += 1
  collection?.forgetWithLists(key)
}

/** The moment at which a call begins. */
const moment = () => ({ time: performance.now(), forgotten })

/** Whether anybody has had anything forgotten since: what a call that began then answers is not kept. */
const isForgotten = (since) => since.forgotten !== forgotten

/** So many collections are looked after without a look whether they are still used. */
const FEW_COLLECTIONS = 64

/** In place of the page of an engine that is closed: nothing is current. Of the same type, so that reading stays fast. */
const NO_BATCH_IS_LAST = new Float64Array([Infinity])

class EngineObjects {
  #watch
  #page
  #announced
  #acknowledged
  #seq = -1
  /** By path. They live for as long as a storage has them or they have entries. */
  #collections = new Map()
  /** When there are so many, those that are gone are removed. */
  #mostCollections = FEW_COLLECTIONS
  #freshFor = 0
  /** Those of all collections. */
  entries = new KeptEntries()
  #hits = 0
  #newestSession = -1

  constructor(number, watch, page) {
    this.number = number
    this.#watch = watch
    this.#page = page
    this.#announced = new Float64Array(page, watch.announcedAt, 1)
    this.#acknowledged = new Float64Array(page, watch.acknowledgedAt, 1)
  }

  /** Whether the engine is closed, so that nothing of it is kept any more. */
  releaseIfClosed() {
    if (this.#watch.isOpen) return false
    this.clear()
    this.#announced = this.#acknowledged = NO_BATCH_IS_LAST
    this.#watch.release(this.#page)
    return true
  }

  /**
   * A new instance sees what a person edited before it was opened, also where an engine outlived the instances before it
   * for a moment: nothing that they read counts for it unseen. Sessions are numbered in their order.
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

  /** For how many milliseconds what was read is kept. */
  get freshFor() {
    return this.#freshFor
  }

  /** The last batch of which this took note. */
  get seq() {
    return this.#seq
  }

  /** The last batch that any process had acknowledged: every read that begins now sees it. */
  get acknowledged() {
    return this.#acknowledged[0]
  }

  /** Whether nobody can have seen a batch that this took no note of. */
  get isQuiet() {
    return this.#announced[0] <= this.#seq
  }

  /** Whether a collection is still what it was after the batch `seq`, as far as this takes note of batches. */
  isUnchangedSince(path, seq) {
    this.isCurrent()
    return this.#watch.isUnchangedSince(path, seq)
  }

  /** Forgets what changed. False while this process has not caught up with the others. */
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

  /** The reads that objects answered and `takeHits` did not take. */
  get hits() {
    return this.#hits
  }

  /** The reads that objects answered since the last call. */
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
  /** Those of the entries that were looked up by something else than their ids: name → entry. */
  #found = new Map()
  #path
  #keepsLists = true

  constructor(engine, path) {
    this.engine = engine
    this.#path = path
  }

  /** A copy of the document under an id, or undefined. */
  get(id) {
    return this.#copyOf(this.#find(this.#entries, keyOf(id)))
  }

  /** A copy of what `putFound` kept under a name, or undefined. */
  getFound(name) {
    return this.#copyOf(this.#find(this.#found, name))
  }

  #copyOf(entry) {
    if (entry === undefined) return undefined
    this.engine.countHit()
    return entry.copy(entry.value)
  }

  /** A copy of a list, or undefined. What changed since is read from `documents`, as far as that is possible at once. */
  getList(kind, documents) {
    const entry = this.#findList(kind, documents)
    return entry && this.#listOf(entry)
  }

  #listOf(entry) {
    this.engine.countHit()
    return entry.value.map(entry.copy)
  }

  /** What has to be read to bring a list that is kept up to date, for `updateList`; undefined if that cannot be told. */
  outdatedList(kind) {
    const entry = this.#find(this.#entries, kind)
    const ids = entry && outdatedIds(entry.value, entry.outdated)
    return ids && { entry, ids, seq: this.engine.seq }
  }

  /** As `getList`, once those of the documents that `outdatedList` told were read that there are. */
  updateList({ entry, seq }, added, documents) {
    if (!this.engine.isUnchangedSince(this.#path, seq)) return undefined
    // Another call may have done it meanwhile.
    if (this.#entries.get(entry.key) !== entry) return this.getList(entry.key, documents)
    const updated = this.#replaced(entry, added)
    return updated && this.#listOf(updated)
  }

  /** The whole list itself, which nobody may change, which batch of which engine it is current with, and till when; or undefined. */
  whole(documents) {
    const entry = this.#findList(WHOLE_LIST, documents)
    if (entry === undefined) return undefined
    return { list: entry.value, engine: this.engine.number, seq: this.engine.seq, expires: entry.expires }
  }

  #findList(kind, documents) {
    const entry = this.#find(this.#entries, kind)
    return entry && this.#updated(entry, documents)
  }

  /** An entry that is current, among all of them by its key or among those that were found by a name. */
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

  /** A list with what changed since it was kept; undefined if that cannot be told at once. */
  #updated(entry, documents) {
    if (entry.outdated.size === 0) return entry
    const ids = outdatedIds(entry.value, entry.outdated)
    const answer = ids && documents.peekSome(ids, entry.key === WHOLE_LIST)
    // What was read is of one moment. It is that of the rest of the list if nothing happened in between.
    return answer === undefined || !this.engine.isQuiet ? undefined : this.#replaced(entry, valueOf(answer))
  }

  /** A list, in the place of the one before, with what was read of the documents that changed. */
  #replaced(entry, added) {
    const { key, value, outdated, expires } = entry
    this.#remove(entry)
    const updated = updatedList(value, outdated, added)
    if (updated === undefined) return undefined
    const isFlat = entry.copy === copyFlat && !Number.isNaN(flatSizeOfAll(added))
    const size = entry.size + sizeOf(added) - sizeOf(updated.removed)
    return isKept(size) ? this.#put(key, updated.list, isFlat ? copyFlat : copyDeep, size, expires) : undefined
  }

  /** Keeps a document that is current, for at most `freshFor` milliseconds, and gives a copy; or itself, if it is too large. */
  put(id, value, freshFor) {
    const flat = flatSizeOf(value)
    const [copy, size] = Number.isNaN(flat) ? [copyDeep, sizeOf(value)] : [copyFlat, flat]
    if (!isKept(size)) return value
    this.#put(keyOf(id), value, copy, size, performance.now() + freshFor)
    return copy(value)
  }

  /** As `put`, for what was looked up under a name. Any change of the collection may have the name stand for another one. */
  putFound(name, id, value, freshFor) {
    const copy = this.put(id, value, freshFor)
    const entry = this.#entries.get(keyOf(id))
    // It may have had to go at once.
    if (entry !== undefined) {
      entry.name = name
      this.#found.set(name, entry)
    }
    return copy
  }

  /** As `put`, for a list. */
  putList(kind, list, freshFor) {
    const flat = flatSizeOfAll(list)
    const [copy, size] = Number.isNaN(flat) ? [copyDeep, sizeOf(list)] : [copyFlat, flat]
    return isKept(size) ? this.#putList(kind, list, copy, size, performance.now() + freshFor) : list
  }

  /**
   * As `putList`, for a list that was current after the batch `seq`. Gives undefined if it is not kept. It may not be current
   * any more; and to copy nested documents costs about what it costs to parse them, so that these are kept once they are
   * read again.
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
    // Of a list, the ids of what changed since.
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

  /** Forgets a document that changed, by its key in the map; everything, without a key. */
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

  /** Called by the engine's entries, which have let go of the entry already. */
  drop(entry) {
    this.#entries.delete(entry.key)
    if (entry.name !== undefined) this.#found.delete(entry.name)
  }

  #remove(entry) {
    this.drop(entry)
    this.engine.entries.remove(entry)
  }
}

/** An id and its key in the map are one: most ids are numbers, which need not become texts to be found. */
function keyOf(id) {
  if (typeof id === 'number') return id
  const number = Number(id)
  return String(number) === id ? number : id
}

module.exports = {
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
