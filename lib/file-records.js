'use strict'

// Incoming records of files: the content is passed as a separate string where possible.

const { fieldsOf } = require('./arguments.js')
const { Records } = require('./records.js')

/** Whether a content can be passed as it is. One with lone surrogates goes as JSON, and so does one that is not a string. */
const isPlain = (content) => typeof content === 'string' && content.isWellFormed()

/**
 * Returns `[head, plain]` if the content of a record can be passed as it is: the record without its content, and the
 * content. Otherwise returns only the record. The head keeps the shape of the record, since removing the field would take
 * longer.
 */
function apart(record) {
  if (record === null || typeof record !== 'object' || !isPlain(record.content)) return [record]
  return [{ ...record, content: undefined }, record.content]
}

/** Reads a record or a patch once and returns it as JSON, with its content apart in `plain` if it can be passed as it is. */
function recordParts(given) {
  const record = fieldsOf(given, true)
  const [head, plain] = apart(record)
  return { input: JSON.stringify(head), content: record?.content, plain }
}

/** Turns what `recordParts` returned for several records into records for native code. */
const handedOver = (records) => new Records(records, ({ input, plain }) => [input, plain])

/** Adds the content, which native code need not return: it stores the given string, or the text of the given date. */
function withContent(file, content) {
  file.content = typeof content === 'string' ? content : content.toJSON()
  return file
}

module.exports = { apart, handedOver, isPlain, recordParts, withContent }
