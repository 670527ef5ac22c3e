'use strict'

// Answers of native code: JSON text, or documents whose contents cross as strings of their own.

/** The value of an answer: null, what a JSON text says, or documents that are put together from their parts. */
function valueOf(answer) {
  if (answer === null) return null
  if (typeof answer === 'string') return JSON.parse(answer)
  const value = JSON.parse(answer[0])
  if (Array.isArray(value)) value.forEach((document, at) => putContent(document, answer[at + 1]))
  else putContent(value, answer[1])
  return value
}

function putContent(document, content) {
  if (content !== null) document.content = content
}

module.exports = { valueOf }
