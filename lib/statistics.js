'use strict'

// The statistics of a database and of its cache, which consists of the engine's cache and the objects that this thread
// keeps.

const { call } = require('./calls.js')
const { engineObjects, objectsOfEngine } = require('./objects.js')

/** @param kept the objects of this thread, if it keeps any */
function cacheStats({ size: texts, maxSize, ttl, hits: answered, misses }, kept, enabled) {
  // A document may be cached both as text and as an object.
  const size = Math.max(texts, kept?.entries.size ?? 0)
  const hits = answered + (kept?.hits ?? 0)
  const reads = hits + misses
  return { size, maxSize, ttl, enabled, hits, misses, hitRate: reads === 0 ? 0 : hits / reads }
}

/** Returns the statistics of the cache, given a native collection. */
function cacheStatistics(documents, enabled) {
  const kept = engineObjects(documents)
  if (kept !== undefined) documents.countHits(kept.takeHits())
  return cacheStats(documents.cacheStats(), kept, enabled)
}

/** @param start starts a native call that answers with statistics */
async function statistics(start, enabled) {
  const { engine, cache, ...found } = JSON.parse(await call(start))
  return { ...found, cache: cacheStats(cache, objectsOfEngine(engine), enabled) }
}

module.exports = { cacheStatistics, statistics }
