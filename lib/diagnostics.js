'use strict'

// Events for those who watch, one when something has ended. Nobody subscribed: one look at a property for each call.

const { channel } = require('node:diagnostics_channel')
const { now } = require('./timers.js')

const KINDS = ['open', 'read', 'write', 'transaction', 'conflict', 'checkpoint', 'backup', 'migration', 'warning']

/** By kind, the channel `octoprompt-storage:<kind>`. */
const channels = Object.freeze(Object.fromEntries(KINDS.map((kind) => [kind, channel(`octoprompt-storage:${kind}`)])))

/**
 * Runs something and publishes how it went. Callers ask first whether somebody listens.
 * @param finish may add to the event what is known when it went well
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

/** A warning that has a code: an event, and a warning of the process. */
function warn(code, message) {
  publish(channels.warning, () => ({ code, message }))
  process.emitWarning(message, { type: 'StorageWarning', code })
}

/** The bytes of texts, or of one. */
function bytesOf(texts) {
  if (typeof texts === 'string') return Buffer.byteLength(texts)
  return Array.isArray(texts) ? texts.reduce((bytes, text) => bytes + bytesOf(text), 0) : 0
}

module.exports = { bytesOf, channels, publish, published, warn }
