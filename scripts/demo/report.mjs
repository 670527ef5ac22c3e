// What the demo prints: a heading for each part, a line for each fact that was checked, a table at the end.

const colors = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (code) => (text) => (colors ? `\x1b[${code}m${text}\x1b[0m` : text)
const bold = paint(1)
const faint = paint(2)
const red = paint(31)
const green = paint(32)

export const number = (value) => value.toLocaleString('en')

export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

export function duration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`
  if (ms >= 1) return `${ms.toFixed(1)} ms`
  return `${(ms * 1000).toFixed(1)} µs`
}

/** Cuts a text to the width of a terminal line. */
export function shorten(text, width = 110) {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text
}

export class Report {
  #rows = []
  #failures = []

  heading(text) {
    console.log(`\n${bold(text)}`)
  }

  note(text) {
    console.log(`  ${text}`)
  }

  quote(text) {
    console.log(`  ${faint(text)}`)
  }

  /** Reports whether a statement holds. */
  check(holds, statement) {
    console.log(`  ${holds ? green('✓') : red('✗')} ${statement}`)
    if (!holds) this.#failures.push(statement)
  }

  /** Adds a line to the table: what took how long, and for how many items. */
  row(what, count, ms, unit = '') {
    this.#rows.push({ what, count, ms, unit })
  }

  /** Runs `work`, adds its time to the table and returns its result. */
  async time(what, count, work, unit) {
    const start = performance.now()
    const result = await work()
    const ms = performance.now() - start
    this.row(what, typeof count === 'function' ? count(result) : count, ms, unit)
    return result
  }

  /** Prints the table and what failed. Returns whether everything held. */
  summary() {
    this.heading('Summary')
    const cells = this.#rows.map(({ what, count, ms, unit }) => [
      what,
      `${number(count)}${unit ? ` ${unit}` : ''}`,
      duration(ms),
      count > 0 ? duration(ms / count) : '–',
    ])
    const head = ['step', 'count', 'time', 'per item']
    const widths = head.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at].length)))
    const line = (row) =>
      row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join('   ')
    console.log(`  ${faint(line(head))}`)
    for (const row of cells) console.log(`  ${line(row)}`)
    console.log()
    if (this.#failures.length === 0) {
      console.log(green('Everything held.'))
      return true
    }
    console.log(red(`${this.#failures.length} did not hold:`))
    for (const failure of this.#failures) console.log(`  ${red('✗')} ${failure}`)
    return false
  }
}
