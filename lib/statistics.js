'use strict'

// What a database looks like, and its cache: that of the engine and the objects that this thread keeps beside it.

const { call } = require('./calls.js')
const { objectsOfEngine } = require('./objects.js')

/** @param kept the objects of this thread, if it keeps any */
function cacheStats({ size: texts, maxSize, ttl, hits: answered, misses }, kept, enabled) {
  // An entry may be there as text and as object.
  const size = Math.max(texts, kept?.entries.size ?? 0)
  const hits = answered + (kept?.hits ?? 0)
  const reads = hits + misses
  return { size, maxSize, ttl, enabled, hits, misses, hitRate: reads === 0 ? 0 : hits / reads }
}

/** @param start a native call that answers with statistics */
async function statistics(start, enabled) {
  const { engine, cache, ...found } = JSON.parse(await call(start))
  return { ...found, cache: cacheStats(cache, objectsOfEngine(engine), enabled) }
}

module.exports = { cacheStats, statistics }
