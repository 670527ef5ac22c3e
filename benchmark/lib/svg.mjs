// The few SVG elements of which the charts are made. Colours follow the reader's light or dark theme.

export const escape = (text) => String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

export const text = (x, y, content, { anchor = 'start', kind = 'label' } = {}) =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}" class="${kind}">${escape(content)}</text>`

export const line = (x1, y1, x2, y2, kind) => `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${kind}"/>`

/** Each series has a shape of its own, and a colour that colour-blind people can tell apart from the others. */
const shapes = [
  (x, y) => `<circle cx="${x}" cy="${y}" r="5"/>`,
  (x, y) => `<rect x="${x - 4.5}" y="${y - 4.5}" width="9" height="9"/>`,
  (x, y) => `<path d="M${x} ${y - 6}l6 10.5h-12z"/>`,
  (x, y) => `<path d="M${x} ${y - 6}l6 6-6 6-6-6z"/>`,
  (x, y) => `<path d="M${x - 5} ${y - 1.8}h3.2v-3.2h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2z"/>`,
]

export const mark = (series, x, y, title) =>
  `<g class="series${series}">${shapes[series % shapes.length](x, y)}${title ? `<title>${escape(title)}</title>` : ''}</g>`

const style = `
  .back { fill: #ffffff }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .small { font-size: 12px; fill: #59636e }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .axis { stroke: #1f2328; stroke-width: 1.5 }
  .band { fill: #f6f8fa }
  .series0 { fill: #0072b2; stroke: #0072b2 }
  .series1 { fill: #d55e00; stroke: #d55e00 }
  .series2 { fill: #009e73; stroke: #009e73 }
  .series3 { fill: #aa4499; stroke: #aa4499 }
  .series4 { fill: #8a6d00; stroke: #8a6d00 }
  .curve { fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 }
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .axis { stroke: #e6edf3 }
    .band { fill: #151b23 }
    .series0 { fill: #56b4e9; stroke: #56b4e9 }
    .series1 { fill: #ff9f43; stroke: #ff9f43 }
    .series2 { fill: #2fd6a6; stroke: #2fd6a6 }
    .series3 { fill: #e59ad0; stroke: #e59ad0 }
    .series4 { fill: #f0e442; stroke: #f0e442 }
    .curve { fill: none }
  }
`

export function document({ width, height, title, parts }) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escape(title)}">
<style>${style}</style>
<rect class="back" width="${width}" height="${height}"/>
${parts.join('\n')}
</svg>
`
}
