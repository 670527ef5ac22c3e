'use strict'

/** Builds a report from its JSON text. Its form for people, `text`, becomes the result of `toString()`. */
function reportFrom(json) {
  const report = JSON.parse(json)
  for (const part of [report, report.before, report.after]) {
    if (part === undefined) continue
    const { text } = part
    delete part.text
    Object.defineProperty(part, 'toString', { value: () => text, configurable: true, writable: true })
  }
  return report
}

module.exports = { reportFrom }
