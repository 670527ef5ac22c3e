// What is on disk after a close: plain JSON.
import { closeSync, existsSync, openSync, readFileSync, readSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { megabytes, shorten } from './report.mjs'

/** Returns the start of a file, as text. */
function start(path, bytes = 4096) {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(bytes)
    return buffer.toString('utf8', 0, readSync(file, buffer, 0, bytes, 0))
  } finally {
    closeSync(file)
  }
}

export function showDisk(report, basePath, project) {
  report.heading('On disk')
  const data = join(basePath, 'data', 'project_storage')
  const projects = join(data, 'projects.json')
  const files = join(data, 'project_data', String(project.id), 'files.json')
  for (const [name, path, lines] of [
    ['projects.json', projects, 4],
    [`project_data/${project.id}/files.json`, files, 2],
  ]) {
    report.check(existsSync(path), `${name}, ${megabytes(statSync(path).size)}`)
    for (const line of start(path).split('\n').slice(0, lines)) report.quote(shorten(line))
  }
  const map = JSON.parse(readFileSync(files, 'utf8'))
  report.check(Object.entries(map).every(([id, file]) => String(file.id) === id), 'it is one JSON map of id to file')
  for (const name of readdirSync(join(data, '.storage')).sort()) {
    report.quote(`.storage/${name.padEnd(30)} ${statSync(join(data, '.storage', name)).size} bytes`)
  }
}
