'use strict'

// Diagnostic events, each published when something has ended. Without subscribers, a call costs one property lookup.

const { channel } = require('node:diagnostics_channel')
const { now } = require('./timers.js')

const KINDS = ['open', 'read', 'write', 'transaction', 'conflict', 'checkpoint', 'backup', 'migration', 'warning']

/** The channel `octoprompt-storage:<kind>` of each kind. */
const channels = Object.freeze(Object.fromEntries(KINDS.map((kind) => [kind, channel(`octoprompt-storage:${kind}`)])))

/**
 * Runs an operation and publishes how it went. Callers check first that there are subscribers.
 * @param finish may add to the event what is known after success
 */
async function published(channel, event, start, finish) {
  const begun = now()
  event.time = Date.now()
  try {
    const result = await start()
    finish?.(event, result)
    return result
  } catch (error) {
    event.error = error
    throw error
  } finally {
    event.duration = now() - begun
    channel.publish(event)
  }
}

/** Publishes something that has just happened. */
function publish(channel, describe) {
  if (channel.hasSubscribers) channel.publish({ time: Date.now(), ...describe() })
}

/** Issues a warning that has a code, as an event and as a warning of the process. */
function warn(code, message) {
  publish(channels.warning, () => ({ code, message }))
  try {
    process.emitWarning(message, { type: 'StorageWarning', code })
  } catch (error) {
    // Somebody has replaced that function. As with a subscriber, its error must not reach those who wait for answers.
    process.nextTick(() => {
      throw error
    })
  }
}

/** Returns the size of one or several texts in bytes. */
function bytesOf(texts) {
  if (typeof texts === 'string') return Buffer.byteLength(texts)
  return Array.isArray(texts) ? texts.reduce((bytes, text) => bytes + bytesOf(text), 0) : 0
}

module.exports = { bytesOf, channels, publish, published, warn }
