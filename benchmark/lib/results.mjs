// The results of a run: raw figures, a table, charts.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { growthChart, ratioChart } from './charts.mjs'
import { resultName } from './environment.mjs'
import { median } from './measure.mjs'
import { report } from './report.mjs'

export const resultsDirectory = fileURLToPath(new URL('../results', import.meta.url))

/** Writes all results and returns the report. A run of only a part does not touch the published files. */
export function writeResults(results, { partly }) {
  const summary = summarized(results)
  const text = report(summary)
  const name = partly ? `${resultName}-partly` : resultName
  const write = (ending, content) => writeFileSync(join(resultsDirectory, `${name}${ending}`), content)
  mkdirSync(resultsDirectory, { recursive: true })
  write('.json', `${JSON.stringify(results, rounded, 1)}\n`)
  write('.md', text)
  if (summary.rows.length > 0) write('-ratios.svg', ratioChart(summary))
  for (const growth of summary.growth) write('-growth.svg', growthChart(growth))
  return text
}

/** Returns the written results of a runtime, or undefined. */
export function readResults(name) {
  try {
    return summarized(JSON.parse(readFileSync(join(resultsDirectory, `${name}.json`), 'utf8')))
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

const rounded = (key, value) => (typeof value === 'number' ? Number(value.toPrecision(5)) : value)

/** Returns the results with medians in place of the figures of all rounds. */
function summarized(results) {
  const medians = (row) => ({
    ...row,
    figures: Object.fromEntries(Object.entries(row.figures).map(([side, values]) => [side, median(values)])),
  })
  return {
    ...results,
    rows: results.rows.map(medians),
    notes: results.notes.map(medians),
    growth: results.growth.map((growth) => ({ ...growth, lines: growth.lines.map(medians) })),
  }
}
