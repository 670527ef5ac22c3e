// The results as Markdown.
import { alignedTable, figure, ratio } from './table.mjs'

/** Peers whose writes are lost in a power failure. The best peer for a write is chosen without them. */
const notDurable = ['nedb']
/** Peers that hold everything in memory. The best peer for a read is chosen without them. */
const inMemory = ['nedb', 'JSON file']

/** Returns the fastest of the peers that promise as much, with its figure; undefined if there is none. */
export function best({ figures, writes }) {
  const unequal = ['ours', ...(writes ? notDurable : inMemory)]
  const rivals = Object.entries(figures).filter(([peer, value]) => value > 0 && !unequal.includes(peer))
  rivals.sort(([, a], [, b]) => a - b)
  return rivals[0] && { peer: rivals[0][0], value: rivals[0][1] }
}

export function peersOf(rows) {
  return [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))].filter((peer) => peer !== 'ours')
}

/** Returns one line for each row: this package, the best peer, the ratio. */
export function shortTable(rows) {
  const lines = rows.map((row) => {
    const rival = best(row)
    return [row.work, row.unit, figure(row.figures.ours), rival?.peer ?? '–', figure(rival?.value), ratio(row.figures.ours, rival?.value)]
  })
  return alignedTable(['work', 'unit', 'this package', 'best peer', 'its figure', 'ratio'], lines, 'llrlrr')
}

/** Returns every peer with its figure and the ratio to it. */
export function longTable(rows) {
  const peers = peersOf(rows)
  const lines = rows.map(({ work, unit, figures, writes }) => [
    work,
    unit,
    figure(figures.ours),
    ...peers.map((peer) => {
      if (figures[peer] === undefined) return '–'
      const mark = writes && notDurable.includes(peer) ? '¹' : ''
      return `${figure(figures[peer])} (${ratio(figures.ours, figures[peer])})${mark}`
    }),
  ])
  return alignedTable(['work', 'unit', 'this package', ...peers], lines, `llr${'r'.repeat(peers.length)}`)
}

function growthTable({ sizes, lines, unit }) {
  const head = ['work', 'unit', ...sizes.map((size) => Number(size).toLocaleString('en')), 'last : first']
  const body = lines.map(({ work, figures }) => {
    const values = sizes.map((size) => figures[size])
    return [work, unit, ...values.map(figure), ratio(values.at(-1), values[0])]
  })
  return alignedTable(head, body, `ll${'r'.repeat(sizes.length + 1)}`)
}

function latencyTable({ lines }) {
  const body = lines.map(({ peer, during, p50, p99, max, writes }) => [
    peer === 'ours' ? 'this package' : peer, during, figure(p50), figure(p99), figure(max), writes.toLocaleString('en'),
  ])
  return alignedTable(['', 'checkpoints', 'p50, ms', 'p99, ms', 'max, ms', 'writes'], body, 'llrrrr')
}

function idleTable({ lines }) {
  const body = lines.map(({ what, switchesPerSecond, cpuMicrosecondsPerSecond, threads }) => [
    what, switchesPerSecond.toFixed(1), Math.round(cpuMicrosecondsPerSecond), threads,
  ])
  return alignedTable(['a process that has open', 'context switches a second', 'µs of CPU a second', 'threads'], body, 'lrrr')
}

function comparedTable({ figures, work, unit }) {
  const body = Object.entries(figures).map(([side, value]) => [side === 'ours' ? 'this package' : side, figure(value), ratio(figures.ours, value)])
  return alignedTable([work, unit, 'ratio'], body, 'lrr')
}

export const longTables = (results) => [
  longTable(results.rows),
  ...(peersOf(results.rows).some((peer) => notDurable.includes(peer)) ? ['¹ nedb does not sync: what it acknowledged is lost with the power.'] : []),
  ...results.notes.map(comparedTable),
  ...results.growth.map(growthTable),
  ...results.latency.map(latencyTable),
  ...results.idle.map(idleTable),
]

export function report(results) {
  const head = `${results.machine}; medians${results.quick ? ' of a quick run' : ''}; in brackets the ratio, below 1 this package is faster`
  return `${[head, ...longTables(results)].join('\n\n')}\n`
}
