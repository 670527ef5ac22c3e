'use strict'

// Documents that were read before, kept as objects beside the engine's cache of texts. An object is handed out as a copy,
// and only while the tip, which every process moves with each commit, says that nothing has changed since it was read or
// that the change was of something else. So a read costs neither a call into native code nor parsing.

/** Marks the whole list among the objects of a collection, with contents and without. */
const WHOLE_LIST = Symbol('whole list')
const HEAD_LIST = Symbol('list without contents')

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
    engine = new EngineObjects(watch, page)
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

class EngineObjects {
  #watch
  #tip
  #seq = -1
  #collections = new Map()
  #limit = 0
  /** Entries of all collections, oldest first. */
  #order = new Set()
  #hits = 0
  #newestSession = -1

  constructor(watch, page) {
    this.#watch = watch
    this.#tip = new Float64Array(page, watch.acknowledgedAt, 1)
  }

  /**
   * A new instance sees what a person edited before it was opened, also where an engine outlived the instances before it
   * for a moment: nothing that they read counts for it unseen. Sessions are numbered in their order.
   */
  meet(session) {
    if (session <= this.#newestSession) return
    this.#newestSession = session
    this.clear()
  }

  collection(path, { maxCacheSize }) {
    this.#limit = Math.max(this.#limit, maxCacheSize)
    let objects = this.#collections.get(path)
    if (objects === undefined) this.#collections.set(path, (objects = new CollectionObjects(this)))
    return objects
  }

  /** Forgets what changed. False while this process has not caught up with the others. */
  isCurrent() {
    return this.#tip[0] === this.#seq || this.#catchUp()
  }

  #catchUp() {
    const acknowledged = this.#tip[0]
    const [seq, ...changes] = this.#watch.changesSince(this.#seq)
    if (changes[0] === null) this.clear()
    else for (let at = 0; at < changes.length; at += 2) this.#collections.get(changes[at])?.forget(changes[at + 1])
    this.#seq = seq
    return seq >= acknowledged
  }

  add(entry) {
    this.#order.add(entry)
    while (this.#order.size > this.#limit) {
      const [oldest] = this.#order
      this.#order.delete(oldest)
      // Whatever was read since it came here last gets another round.
      if (oldest.used && oldest !== entry) {
        oldest.used = false
        this.#order.add(oldest)
      } else {
        oldest.collection.drop(oldest)
      }
    }
  }

  remove(entry) {
    this.#order.delete(entry)
  }

  get size() {
    return this.#order.size
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
    for (const objects of this.#collections.values()) objects.clear()
  }
}

class CollectionObjects {
  #entries = new Map()

  constructor(engine) {
    this.engine = engine
  }

  /** A copy of the document under an id, or undefined. */
  get(id) {
    const entry = this.#find(keyOf(id))
    return entry === undefined ? undefined : entry.copy(entry.value)
  }

  /** A copy of a list, or undefined. */
  getList(kind) {
    const entry = this.#find(kind)
    return entry === undefined ? undefined : entry.value.map(entry.copy)
  }

  #find(key) {
    if (!this.engine.isCurrent()) return undefined
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.expires <= performance.now()) {
      this.#remove(entry)
      return undefined
    }
    entry.used = true
    this.engine.countHit()
    return entry
  }

  /** Keeps a document that is current, for at most `freshFor` milliseconds, and gives a copy. */
  put(id, value, freshFor) {
    const copy = isFlat(value) ? copyFlat : copyDeep
    this.#put(keyOf(id), value, copy, freshFor)
    return copy(value)
  }

  /** As `put`, for a list. */
  putList(kind, value, freshFor) {
    const copy = value.every(isFlat) ? copyFlat : copyDeep
    this.#put(kind, value, copy, freshFor)
    return value.map(copy)
  }

  #put(key, value, copy, freshFor) {
    const before = this.#entries.get(key)
    if (before !== undefined) this.engine.remove(before)
    const entry = { collection: this, key, value, copy, expires: performance.now() + freshFor, used: false }
    this.#entries.set(key, entry)
    this.engine.add(entry)
  }

  /** Forgets a document that changed, by its key in the map, and the lists; everything, without a key. */
  forget(key) {
    if (key === null) {
      this.clear()
      return
    }
    for (const changed of [keyOf(key), WHOLE_LIST, HEAD_LIST]) {
      const entry = this.#entries.get(changed)
      if (entry !== undefined) this.#remove(entry)
    }
  }

  clear() {
    for (const entry of this.#entries.values()) this.engine.remove(entry)
    this.#entries.clear()
  }

  /** Called by the engine's objects, which have let go of the entry already. */
  drop(entry) {
    this.#entries.delete(entry.key)
  }

  #remove(entry) {
    this.#entries.delete(entry.key)
    this.engine.remove(entry)
  }
}

/** An id and its key in the map are one: most ids are numbers, which need not become texts to be found. */
function keyOf(id) {
  if (typeof id === 'number') return id
  const number = Number(id)
  return String(number) === id ? number : id
}

function isFlat(value) {
  for (const key in value) {
    const field = value[key]
    if (typeof field === 'object' && field !== null) return false
  }
  return true
}

const copyFlat = (value) => ({ ...value })

/** A copy of what JSON text gave. */
function copyDeep(value) {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyDeep)
  // The spread makes a property of `__proto__` too, so assigning to it below sets no prototype.
  const copy = { ...value }
  for (const key in copy) if (typeof copy[key] === 'object' && copy[key] !== null) copy[key] = copyDeep(copy[key])
  return copy
}

module.exports = { engineObjects, objectsOf, objectsOfEngine, WHOLE_LIST, HEAD_LIST }
