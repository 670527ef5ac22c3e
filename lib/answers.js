'use strict'

// Answers of native code: JSON text, or documents whose contents cross as strings of their own.

/** A list that arrives in several answers, put together as they arrive. */
class Pieces {
  list = []

  add(answer) {
    for (const document of valueOf(answer)) this.list.push(document)
  }
}

/** The value of an answer: null, what a JSON text says, documents that are put together from their parts, a list. */
function valueOf(answer) {
  if (answer === null) return null
  if (typeof answer === 'string') return JSON.parse(answer)
  if (answer instanceof Pieces) return answer.list
  if (answer[0] === null) return rowsOf(JSON.parse(answer[1]), answer.slice(2))
  const value = JSON.parse(answer[0])
  if (answer.length === 1) return value
  if (Array.isArray(value)) value.forEach((document, at) => putContent(document, answer[at + 1]))
  else putContent(value, answer[1])
  return value
}

/** The documents of a table: copies of the first one, in which the members that differ are set. Each has a content, or none has. */
function rowsOf({ count, first, names, columns }, contents) {
  if (contents.length > 0) {
    // Copies have room for it then.
    first.content = null
    names.push('content')
    columns.push(contents)
  }
  const documents = []
  for (let row = 0; row < count; row++) {
    const document = { ...first }
    for (let at = 0; at < names.length; at++) document[names[at]] = columns[at][row]
    documents.push(document)
  }
  return documents
}

function putContent(document, content) {
  if (content !== null) document.content = content
}

module.exports = { Pieces, valueOf }
