'use strict'

/** A report from its JSON text; `text`, its form for people, becomes what `toString()` gives. */
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
