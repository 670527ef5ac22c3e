// Rounds, medians, and the table.

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Microseconds that one of `count` operations takes when `work` does them all. */
export async function perItem(count, work) {
  const start = performance.now()
  await work()
  return ((performance.now() - start) * 1000) / count
}

/**
 * Runs the sides in turn, one round to warm up and then `rounds`, and gives the median of each. A side is a function
 * that gives the figure of one round, or undefined.
 */
export async function alternate(rounds, ...sides) {
  const figures = sides.map(() => [])
  for (let round = -1; round < rounds; round++) {
    for (const [at, side] of sides.entries()) {
      if (!side) continue
      globalThis.gc?.()
      const figure = await side(round + 1)
      if (round >= 0) figures[at].push(figure)
    }
  }
  return figures.map((list) => (list.length > 0 ? median(list) : undefined))
}

const figure = (value) => {
  if (value === undefined) return '–'
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(value >= 10 ? 1 : 2)
}

/** A Markdown table of `{ work, unit, ours, theirs }`. */
export function table(rows) {
  const head = ['work', 'unit', 'this package', 'compared with', 'theirs', 'ratio']
  const cells = rows.map(({ work, unit, ours, theirs, peer = 'better-sqlite3' }) => [
    work,
    unit,
    figure(ours),
    theirs === undefined ? '–' : peer,
    figure(theirs),
    theirs === undefined ? '–' : (ours / theirs).toFixed(2),
  ])
  const widths = head.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at].length)))
  const line = (row, right) => `| ${row.map((cell, at) => (right[at] ? cell.padStart(widths[at]) : cell.padEnd(widths[at]))).join(' | ')} |`
  const right = [false, false, true, false, true, true]
  const rule = `|${widths.map((width, at) => `${'-'.repeat(width + 1)}${right[at] ? ':' : '-'}`).join('|')}|`
  return [line(head, right), rule, ...cells.map((row) => line(row, right))].join('\n')
}
