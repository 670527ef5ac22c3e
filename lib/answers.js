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
  const value = JSON.parse(answer[0])
  if (answer.length === 1) return value
  if (Array.isArray(value)) value.forEach((document, at) => putContent(document, answer[at + 1]))
  else putContent(value, answer[1])
  return value
}

function putContent(document, content) {
  if (content !== null) document.content = content
}

module.exports = { Pieces, valueOf }
