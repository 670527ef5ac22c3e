// Figures formatted for people, and Markdown tables whose columns are aligned in the source.

export function figure(value) {
  if (value === undefined || Number.isNaN(value)) return '–'
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return value.toFixed(value >= 10 ? 1 : 2)
}

export function ratio(ours, theirs) {
  if (ours === undefined || !(theirs > 0)) return '–'
  const value = ours / theirs
  return value < 0.1 ? value.toFixed(3) : value.toFixed(2)
}

/** `alignment` has a letter for each column: l or r. */
export function alignedTable(head, lines, alignment) {
  const cells = [head, ...lines].map((line) => line.map(String))
  const widths = head.map((_, column) => Math.max(3, ...cells.map((line) => line[column].length)))
  const right = [...alignment].map((letter) => letter === 'r')
  const row = (line) => `| ${line.map((cell, at) => (right[at] ? cell.padStart(widths[at]) : cell.padEnd(widths[at]))).join(' | ')} |`
  const rule = `|${widths.map((width, at) => `${'-'.repeat(width + 1)}${right[at] ? ':' : '-'}`).join('|')}|`
  return [row(cells[0]), rule, ...cells.slice(1).map(row)].join('\n')
}
