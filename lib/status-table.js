'use strict'

// The table that `status()` prints: a pure function of the data.

const { cut, displayWidth, padded, printable } = require('./display-text.js')

const SIGNS = { applied: '✓', pending: '○', failed: '✗', unknown: '?' }
const COLOURS = { applied: 32, pending: 33, failed: 31, unknown: 35 }
const BOLD = 1
const DIM = 2

/** The most columns that a version occupies. */
const LONGEST_VERSION = 24
/** The columns left to a description in the narrowest terminal. */
const SHORTEST_DESCRIPTION = 12

/**
 * Returns the lines of the table. `width` is the width of the terminal; without it nothing is cut. `now` is in milliseconds
 * since 1970.
 */
function statusTable({ currentVersion, migrations, pending }, { width = Infinity, colour = false, now }) {
  const paint = (code, text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text)
  const head = `Version ${printable(currentVersion)}, ${count(pending, 'migration')} pending`
  if (migrations.length === 0) return [paint(BOLD, head), '', advice(migrations)]

  const rows = migrations.map(({ version, state, appliedAt, description, error }) => ({
    state,
    cells: [cut(printable(version), LONGEST_VERSION), state, appliedAt === null ? '–' : ago(now - appliedAt)],
    description: printable(description),
    error: error === null ? null : printable(error),
  }))
  const widths = ['VERSION', 'STATE', 'WHEN'].map((title, column) =>
    rows.reduce((widest, { cells }) => Math.max(widest, displayWidth(cells[column])), title.length))
  const before = 2 + widths.reduce((sum, one) => sum + one + 2, 0)
  const room = Math.max(SHORTEST_DESCRIPTION, width - before)
  const line = (cells) => cells.map((cell, column) => padded(cell, widths[column])).join('  ')

  const lines = [paint(BOLD, head), '', paint(DIM, `  ${line(['VERSION', 'STATE', 'WHEN'])}  DESCRIPTION`)]
  for (const { state, cells, description, error } of rows) {
    const sign = paint(COLOURS[state], SIGNS[state])
    const [version, , when] = cells.map((cell, column) => padded(cell, widths[column]))
    const name = paint(COLOURS[state], padded(state, widths[1]))
    lines.push(`${sign} ${version}  ${name}  ${paint(DIM, when)}  ${cut(description, room)}`.trimEnd())
    if (error !== null) lines.push(' '.repeat(before) + paint(COLOURS.failed, cut(`error: ${error}`, room)))
  }
  return [...lines, '', advice(migrations)]
}

/** Returns advice on what to do now. */
function advice(migrations) {
  const of = (wanted) => migrations.filter(({ state }) => state === wanted)
  const failed = of('failed')
  const pending = of('pending')
  if (failed.length > 0) {
    const names = failed.length === 1 ? printable(failed[0].version) : count(failed.length, 'migration')
    return `${names} failed and changed nothing: mend the cause, then migrate again.`
  }
  if (pending.length > 0) {
    return `Migrate to apply ${count(pending.length, 'migration')} up to ${printable(pending.at(-1).version)}.`
  }
  const unknown = of('unknown')
  if (unknown.length > 0) {
    return `Nothing to do. Not registered here: ${count(unknown.length, 'migration')}, for the program that applied them to roll back.`
  }
  if (migrations.length === 0) return 'No migration is registered.'
  return 'Nothing to do: every migration is applied.'
}

const count = (number, what) => `${number === 0 ? 'no' : number} ${what}${number === 1 ? '' : 's'}`

const UNITS = [
  ['year', 365 * 86_400_000],
  ['month', 30 * 86_400_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
]

/** Returns how long ago something was, in the largest unit that fits. */
function ago(elapsed) {
  for (const [name, length] of UNITS) {
    const number = Math.floor(elapsed / length)
    if (number >= 1) return `${number} ${name}${number === 1 ? '' : 's'} ago`
  }
  // Clocks differ a little, but a time far ahead is not "now".
  return elapsed < -60_000 ? 'in the future' : 'just now'
}

module.exports = { statusTable }
