'use strict'

// Records of files on their way in: the content crosses as a string of its own where it can.

const { fieldsOf } = require('./arguments.js')
const { Records } = require('./records.js')

/** Whether a content can cross as it is: one with lone surrogates goes as JSON, and what is no string at all too. */
const isPlain = (content) => typeof content === 'string' && content.isWellFormed()

/**
 * `[head, plain]`: where the content of a record can cross as it is, the record without it, and the content; else the record alone.
 * The head has the shape of the record: leaving the field out would take longer.
 */
function apart(record) {
  if (record === null || typeof record !== 'object' || !isPlain(record.content)) return [record]
  return [{ ...record, content: undefined }, record.content]
}

/** A record or a patch, read once: as JSON, with its content apart in `plain` where that can cross as it is. */
function recordParts(given) {
  const record = fieldsOf(given, true)
  const [head, plain] = apart(record)
  return { input: JSON.stringify(head), content: record?.content, plain }
}

/** What `recordParts` gave of several records, on its way into native code. */
const handedOver = (records) => new Records(records, ({ input, plain }) => [input, plain])

/** Content need not come back from native code: the string that was stored is the one that was given, or the text of a date. */
function withContent(file, content) {
  file.content = typeof content === 'string' ? content : content.toJSON()
  return file
}

module.exports = { apart, handedOver, isPlain, recordParts, withContent }
