'use strict'

// The change feed of a storage: as an async iterator, and as events.

const { AsyncResource } = require('node:async_hooks')
const { NativeChanges } = require('./native.js')
const { aborted, signalOf, throwIfAborted, whenAborted } = require('./abort.js')
const { describe } = require('./arguments.js')
const { asyncDispose } = require('./async-dispose.js')
const { optionsOf } = require('./call-options.js')
const { listen, port, silence } = require('./calls.js')
const { warn } = require('./diagnostics.js')
const { errorFrom, invalid, retraced } = require('./errors.js')
const { outside } = require('./outside.js')

const SCOPES = new Set(['collection', 'database'])

function feedOptions(options) {
  const { from, scope = 'collection', signal } = optionsOf(options)
  if (from !== undefined && !(Number.isSafeInteger(from) && from >= 0)) {
    throw invalid(`from must be a sequence number, got ${describe(from)}`)
  }
  if (!SCOPES.has(scope)) throw invalid(`scope must be 'collection' or 'database', got ${describe(scope)}`)
  return { from, everything: scope === 'database', signal: signalOf(signal) }
}

/** Ends the listening of a garbage-collected feed. Nothing that lives as long as the listening refers to the feed. */
const dropped = new FinalizationRegistry((listening) => listening.end())

/** The changes that one listener sees, from its creation on. They end with the storage, or once this is garbage-collected. */
class Changes {
  #listening

  /**
   * @param documents the native collection
   * @param read starts a native call, which a signal aborts
   * @param feeds the open feeds of the storage, which end with it
   */
  constructor(options, documents, read, feeds) {
    this.#listening = new Listening(options, documents, read, feeds)
    dropped.register(this, this.#listening, this.#listening)
  }

  async next() {
    try {
      return await this.#listening.next(this)
    } catch (error) {
      throw retraced(error, Changes.prototype.next)
    }
  }

  async return() {
    this.end()
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator]() {
    return this
  }

  async [asyncDispose]() {
    this.end()
  }

  end() {
    this.#listening.end()
  }
}

/** The part of a feed that takes the changes from native code and keeps them until they are asked for. */
class Listening {
  #native = new NativeChanges()
  #channel
  #open
  #opened
  /** Ends the opening with the feed. It may have to wait for locks or for a schema. */
  #abandon = new AbortController()
  /** The sequence number of the last change that native code returned, or of the change after which the feed began. */
  #last
  /** Detaches the signal. */
  #unheard
  #buffer = []
  #wake = () => {}
  /** The previous call of `next`. */
  #before = Promise.resolve()
  /** The callers that wait for an answer. Held here, their feeds are not garbage-collected even if nothing else holds them. */
  #asking = new Set()
  #ended = false
  #error
  #feeds

  constructor(options, documents, read, feeds) {
    const { from, everything, signal } = feedOptions(options)
    throwIfAborted(signal)
    this.#unheard = whenAborted(signal, () => this.#fail(aborted(signal)))
    this.#feeds = feeds
    feeds.add(this)
    this.#channel = listen(this)
    this.#last = from
    this.#open = async () => {
      const open = (ticket) => this.#native.open(ticket, port(), documents, everything, this.#last, this.#channel)
      try {
        this.#last = JSON.parse(await read(open, this.#abandon.signal))
      } catch (error) {
        this.#fail(error)
      }
    }
    this.#opened = this.#open()
  }

  /** Called when native code has something to take. */
  notify() {
    this.#wake()
  }

  /** Answers overlapping calls one after another, in their order. */
  next(listener) {
    const asking = { listener }
    this.#asking.add(asking)
    const step = this.#before.then(() => this.#step())
    this.#before = step.catch(() => {}).then(() => this.#asking.delete(asking))
    return step
  }

  async #step() {
    await this.#opened
    for (;;) {
      if (this.#buffer.length > 0) return { value: this.#buffer.shift(), done: false }
      if (this.#error !== undefined) {
        const error = this.#error
        this.#error = undefined
        throw error
      }
      if (this.#ended) return { value: undefined, done: true }
      const taken = JSON.parse(this.#native.take())
      // The engine was replaced: the listening continues with the new one.
      if (taken === null) await this.#open()
      else if (!Array.isArray(taken)) this.#fail(errorFrom(taken))
      else if (taken.length > 0) this.#keep(taken)
      else await new Promise((resolve) => (this.#wake = resolve))
    }
  }

  #keep(changes) {
    this.#buffer = changes
    this.#last = changes.at(-1).sequence
  }

  #fail(error) {
    if (this.#ended) return
    this.#error = error
    this.end()
  }

  end() {
    if (this.#ended) return
    this.#ended = true
    this.#buffer = []
    this.#unheard()
    silence(this.#channel)
    this.#native.close()
    this.#abandon.abort()
    // What ended the listening may lead back to the feed, such as the stack of an error.
    dropped.unregister(this)
    this.#feeds.delete(this)
    this.#wake()
  }
}

/** The open feeds of one storage and of the storages that end with it. */
class Feeds {
  #open = new Set()
  #parent

  /** @param parent the feeds of the storage with which this one ends */
  constructor(parent) {
    this.#parent = parent
  }

  add(feed) {
    this.#open.add(feed)
    this.#parent?.add(feed)
  }

  delete(feed) {
    this.#open.delete(feed)
    this.#parent?.delete(feed)
  }

  end() {
    for (const feed of this.#open) feed.end()
  }
}

/** The event listeners of one storage. They share one feed, which is open for as long as there are any. */
class Listeners {
  /** Each listener, and what calls it in the context of `AsyncLocalStorage` in which it was added. */
  #listeners = new Map()
  #changes
  #open

  /** @param open opens a change feed of the storage */
  constructor(open) {
    this.#open = open
  }

  add(event, listener) {
    check(event, listener)
    if (this.#changes === undefined) {
      this.#changes = this.#open()
      outside(() => this.#deliver(this.#changes))
    }
    if (!this.#listeners.has(listener)) this.#listeners.set(listener, AsyncResource.bind(listener))
  }

  remove(event, listener) {
    check(event, listener)
    this.#listeners.delete(listener)
    if (this.#listeners.size === 0) this.#stop()
  }

  #stop() {
    this.#changes?.end()
    this.#changes = undefined
  }

  async #deliver(changes) {
    try {
      for await (const change of changes) {
        const listeners = [...this.#listeners.values()]
        const last = listeners.pop()
        // Each listener gets an event of its own, so that none sees what another does to it.
        for (const listener of listeners) this.#tell(listener, copyOf(change))
        if (last !== undefined) this.#tell(last, change)
      }
    } catch (error) {
      warn(error.code, `the listeners of changes are no longer told of changes: ${messageOf(error)}`)
    } finally {
      if (this.#changes === changes) this.#changes = undefined
    }
  }

  /** Calls a listener. An error that it throws, now or later, neither stops the other listeners nor ends the process. */
  async #tell(listener, change) {
    try {
      await listener(change)
    } catch (error) {
      warn('LISTENER_FAILED', `a listener of changes threw: ${messageOf(error)}`)
    }
  }
}

function copyOf(change) {
  if (change.kind !== 'change') return { ...change }
  return { ...change, created: [...change.created], updated: [...change.updated], deleted: [...change.deleted] }
}

function messageOf(error) {
  try {
    return error instanceof Error ? String(error.stack ?? error.message) : String(error)
  } catch {
    return 'something that cannot be shown'
  }
}

function check(event, listener) {
  if (event !== 'change') throw invalid(`a storage has the event 'change', got ${describe(event)}`)
  if (typeof listener !== 'function') throw invalid(`a listener is a function, got ${describe(listener)}`)
}

module.exports = { Changes, Feeds, Listeners }
