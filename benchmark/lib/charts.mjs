// The charts: how much longer each peer takes, and how costs grow with size.
import { peersOf } from './report.mjs'
import { document, line, mark, text } from './svg.mjs'
import { figure } from './table.mjs'

const width = 880
const rowHeight = 24

const times = (value) => (value >= 1 ? `${Number(value.toPrecision(2))}×` : `1/${Number((1 / value).toPrecision(2))}`)

/**
 * Draws a row for each kind of work and a mark for each peer, on a logarithmic axis: how many times as long as this package
 * the peer takes. To the left of the line at 1, the peer is faster.
 */
export function ratioChart({ rows, machine }) {
  const peers = peersOf(rows)
  const shown = rows.filter(({ unit, figures }) => unit !== 'bytes' && figures.ours > 0 && peers.some((peer) => figures[peer] > 0))
  const ratios = shown.flatMap(({ figures }) => peers.map((peer) => figures[peer] / figures.ours)).filter((value) => value > 0)
  const low = Math.floor(Math.log10(Math.min(...ratios, 0.5)))
  const high = Math.ceil(Math.log10(Math.max(...ratios, 2)))
  const [left, right, top] = [400, width - 24, 84]
  const bottom = top + shown.length * rowHeight
  const x = (value) => left + ((Math.log10(value) - low) / (high - low)) * (right - left)
  const title = 'Time of the others, where this package takes 1'
  const parts = [text(24, 30, title, { kind: 'title' })]
  peers.forEach((peer, series) => {
    const at = 24 + series * 150
    parts.push(mark(series, at + 6, 52), text(at + 18, 56, peer))
  })
  shown.forEach((row, at) => {
    if (at % 2 === 0) parts.push(`<rect class="band" x="12" y="${top + at * rowHeight}" width="${width - 24}" height="${rowHeight}"/>`)
  })
  for (let power = low; power <= high; power++) {
    parts.push(line(x(10 ** power), top, x(10 ** power), bottom, power === 0 ? 'axis' : 'grid'))
    parts.push(text(x(10 ** power), bottom + 18, times(10 ** power), { anchor: 'middle', kind: 'small' }))
  }
  parts.push(text(x(1) - 8, top - 8, '← the peer is faster', { anchor: 'end', kind: 'small' }))
  parts.push(text(x(1) + 8, top - 8, 'this package is faster →', { kind: 'small' }))
  shown.forEach(({ work, unit, figures }, at) => {
    const y = top + at * rowHeight + rowHeight / 2
    parts.push(text(24, y + 4, work.length > 54 ? `${work.slice(0, 53)}…` : work))
    peers.forEach((peer, series) => {
      const value = figures[peer] / figures.ours
      if (value > 0) parts.push(mark(series, round(x(value)), y, `${peer}: ${figure(figures[peer])} ${unit}, ${times(value)}`))
    })
  })
  parts.push(text(24, bottom + 40, machine, { kind: 'small' }))
  return document({ width, height: bottom + 54, title, parts })
}

/** Draws what each call costs at growing sizes, with both axes logarithmic. */
export function growthChart({ sizes, lines, unit }) {
  const [left, right, top, bottom] = [76, width - 250, 56, 340]
  const values = lines.flatMap(({ figures }) => sizes.map((size) => figures[size]))
  const low = Math.floor(Math.log10(Math.min(...values)))
  const high = Math.ceil(Math.log10(Math.max(...values)))
  const x = (at) => left + (at / (sizes.length - 1)) * (right - left)
  const y = (value) => bottom - ((Math.log10(value) - low) / (high - low)) * (bottom - top)
  const title = `${unit} for each call where there are more files`
  const parts = [text(24, 30, title, { kind: 'title' })]
  for (let power = low; power <= high; power++) {
    parts.push(line(left, y(10 ** power), right, y(10 ** power), 'grid'))
    parts.push(text(left - 10, y(10 ** power) + 4, (10 ** power).toLocaleString('en'), { anchor: 'end', kind: 'small' }))
  }
  sizes.forEach((size, at) => {
    parts.push(text(x(at), bottom + 20, `${Number(size).toLocaleString('en')} files`, { anchor: 'middle', kind: 'small' }))
  })
  const ends = spread(lines.map(({ figures }) => y(figures[sizes.at(-1)])), 18)
  lines.forEach(({ work, figures }, series) => {
    const points = sizes.map((size, at) => [round(x(at)), round(y(figures[size]))])
    parts.push(`<g class="series${series}"><polyline class="curve" points="${points.map((point) => point.join()).join(' ')}"/></g>`)
    points.forEach(([px, py], at) => parts.push(mark(series, px, py, `${work}: ${figure(figures[sizes[at]])} ${unit}`)))
    parts.push(text(right + 14, ends[series] + 4, work))
  })
  return document({ width, height: bottom + 40, title, parts })
}

/** Returns heights that are at least `gap` apart, moved as little as possible. */
function spread(heights, gap) {
  const order = heights.map((height, at) => ({ height, at })).sort((a, b) => a.height - b.height)
  for (let at = 1; at < order.length; at++) order[at].height = Math.max(order[at].height, order[at - 1].height + gap)
  const placed = []
  for (const { height, at } of order) placed[at] = height
  return placed
}

const round = (value) => Math.round(value * 10) / 10
