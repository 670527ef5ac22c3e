'use strict'

// Large contents, streamed out of a file and into a new one a chunk at a time.

const { TextDecoder } = require('node:util')
const { isArrayBuffer, isUint8Array } = require('node:util/types')
const { signalOption, throwIfAborted, unlessAborted } = require('./abort.js')
const { describe } = require('./arguments.js')
const { invalid } = require('./errors.js')

/** Text is passed to native code in pieces of about this many UTF-16 units. */
const PIECE = 64 * 1024

/**
 * Returns the content of a file as a stream of bytes in UTF-8.
 *
 * @param content the native content
 * @param read starts a native call, which a signal aborts
 */
function contentStream(content, options, read) {
  const signal = signalOption(options)
  let opened = false
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          if (!opened) await read((ticket) => content.open(ticket), signal)
          opened = true
          const text = await read((ticket) => content.next(ticket), signal)
          if (text !== null) return controller.enqueue(new Uint8Array(Buffer.from(JSON.parse(text), 'utf8')))
          controller.close()
        } catch (error) {
          content.close()
          throw error
        }
      },
      cancel: () => content.close(),
    },
    { highWaterMark: 0 },
  )
}

/**
 * Reads a source to its end and creates a file from it.
 *
 * @param spool the native spool
 * @param calls `spool` starts a native call that touches only the spool, `create` the one that creates the file
 */
async function fromStream(source, spool, options, calls) {
  const signal = signalOption(options)
  throwIfAborted(signal)
  const iterator = iteratorOf(source)
  let ended = false
  try {
    for await (const piece of pieces(iterator, signal)) {
      throwIfAborted(signal)
      await calls.spool((ticket) => spool.append(ticket, piece), signal)
    }
    ended = true
    throwIfAborted(signal)
    await calls.spool((ticket) => spool.complete(ticket), signal)
    throwIfAborted(signal)
    return JSON.parse(await calls.create((ticket) => spool.create(ticket), signal))
  } finally {
    spool.abandon()
    // Tell the source that nobody reads it any more. Its reply does not matter and may never come.
    if (!ended) dismiss(iterator)
  }
}

async function dismiss(iterator) {
  try {
    await iterator.return?.()
  } catch {
    // The caller already learns of the error that ended the call.
  }
}

/** Yields the content as pieces of JSON text, without quotes. */
async function* pieces(iterator, signal) {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })
  let text = ''
  for (;;) {
    const { value, done } = await unlessAborted(signal, Promise.resolve(iterator.next()))
    if (done) break
    if (typeof value === 'string') text += decoded(decoder) + value
    else text += decoded(decoder, bytesOf(value), { stream: true })
    while (text.length > PIECE) {
      const piece = text.slice(0, cut(text, PIECE))
      text = text.slice(piece.length)
      yield JSON.stringify(piece).slice(1, -1)
    }
  }
  text += decoded(decoder)
  yield JSON.stringify(text).slice(1, -1)
}

/** Decodes bytes, or ends the decoding if there are none. */
function decoded(decoder, bytes, options) {
  try {
    return decoder.decode(bytes, options)
  } catch {
    const problem = bytes === undefined ? 'they end within a character' : 'these are not'
    throw invalid(`the bytes of a content must be UTF-8, and ${problem}; decode another encoding, or encode binary data as text, first`)
  }
}

/** Returns where to cut a text so that no surrogate pair is split. */
function cut(text, at) {
  const unit = text.charCodeAt(at - 1)
  return unit >= 0xd800 && unit < 0xdc00 ? at - 1 : at
}

function bytesOf(value) {
  if (isUint8Array(value) || isArrayBuffer(value)) return value
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  throw invalid(`a stream of content gives strings or bytes, got ${describe(value)}`)
}

function iteratorOf(source) {
  if (source !== null && typeof source === 'object') {
    if (typeof source[Symbol.asyncIterator] === 'function') return source[Symbol.asyncIterator]()
    if (typeof source.getReader === 'function') return readerIterator(source.getReader())
    if (typeof source[Symbol.iterator] === 'function') return source[Symbol.iterator]()
  }
  // A string could also be meant as a path.
  const advice = typeof source === 'string' ? '; give a text to create' : ''
  throw invalid(`a content comes as a stream or an iterable object of strings or bytes, got ${describe(source)}${advice}`)
}

/** Adapts the reader of a web stream, for engines whose web streams are not iterable. */
function readerIterator(reader) {
  return { next: () => reader.read(), return: () => reader.cancel() }
}

module.exports = { contentStream, fromStream }
