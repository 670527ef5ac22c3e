// Puts the tables of the last runs between their marks in README.md and docs/performance.md. `npm run bench -- --publish`
// does this after measuring; `node benchmark/publish.mjs` does only this.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { longTables, shortTable } from './lib/report.mjs'
import { readResults } from './lib/results.mjs'

/** The rows that the README shows. */
const highlights = [
  'create', 'create-at-once', 'create-many', 'get', 'get-small', 'get-uncached', 'by-path', 'list', 'heads', 'update', 'open',
  'server-sync', 'server-sync-again', 'server-summaries', 'server-tree', 'memory',
]

const headed = (results, table) => `${results.machine}${results.quick ? '; a quick run' : ''}:\n\n${table}`

const texts = {
  'README.md': (results) => headed(results, shortTable(results.rows.filter(({ id }) => highlights.includes(id)))),
  'docs/performance.md': (results) => headed(results, longTables(results).join('\n\n')),
}

for (const [path, textOf] of Object.entries(texts)) {
  const file = fileURLToPath(new URL(`../${path}`, import.meta.url))
  let document = readFileSync(file, 'utf8')
  for (const name of ['node', 'bun']) {
    const results = readResults(name)
    const [begin, end] = [`<!-- benchmark: ${name} -->`, `<!-- /benchmark: ${name} -->`]
    const from = document.indexOf(begin)
    const to = document.indexOf(end)
    if (results === undefined || from === -1 || to === -1) continue
    document = `${document.slice(0, from + begin.length)}\n\n${textOf(results)}\n\n${document.slice(to)}`
  }
  writeFileSync(file, document)
  console.log(`${path} has the figures of the last runs`)
}
