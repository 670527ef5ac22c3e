'use strict'

// Answers of native code: JSON text, or documents whose contents arrive as separate strings.

/** A list that arrives in several answers and is assembled as they arrive. */
class Pieces {
  list = []

  add(answer) {
    for (const document of valueOf(answer)) this.list.push(document)
  }
}

/** Returns the value of an answer: null, a parsed JSON text, documents assembled from their parts, or a list. */
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

/** Returns the documents of a table: copies of the first, with the differing members set. All have a content, or none has. */
function rowsOf({ count, first, names, columns }, contents) {
  if (contents.length > 0) {
    // Every copy then has room for its content.
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
