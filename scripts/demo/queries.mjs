// Queries, each checked against the same question put to a plain array.
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { number } from './report.mjs'

const sample = (list, count) => list.filter((_, at) => at % Math.ceil(list.length / count) === 0)
const same = (found, expected) =>
  found.length === expected.length && [...found].sort().every((value, at) => value === [...expected].sort()[at])

export async function query(report, storage, project, stored) {
  report.heading('Queries')
  await queryProjects(report, storage)
  await queryFiles(report, storage, project, stored)
}

async function queryProjects(report, storage) {
  const count = 200
  const names = Array.from({ length: count }, (_, n) => `Sample ${n % 2 ? 'server' : 'client'} ${n}`)
  const created = await report.time('create projects, all at once', count, () =>
    Promise.all(names.map((name, n) => storage.create({ name, path: `/samples/${n}` }))),
    'projects',
  )
  report.check(new Set(created.map(({ id }) => id)).size === count, `${count} concurrent creates give ${count} different ids`)

  const named = await report.time('find projects by name', 1, () => storage.findByName(names[7]))
  report.check(named.length === 1 && named[0].id === created[7].id, `name "${names[7]}": 1 project`)

  const placed = await report.time('find projects by path', 1, () => storage.findByPath('/samples/8'))
  report.check(placed.length === 1 && placed[0].id === created[8].id, 'path "/samples/8": 1 project')

  const dated = []
  for (let n = 0; n < 5; n++) {
    await setTimeout(3)
    dated.push(await storage.create({ name: `Dated ${n}`, path: `/dated/${n}` }))
  }
  const [from, to] = [dated[1].created, dated[3].created]
  const within = await report.time('find projects by date range', (list) => list.length, () => storage.listByDateRange(from, to))
  const inOrder = within.map(({ id }) => id).join() === dated.slice(1, 4).map(({ id }) => id).join()
  report.check(inOrder, `created within ${to - from} ms: ${within.length} projects, both ends included, oldest first`)

  const found = await report.time('search projects by words', (list) => list.length, () => storage.search('SERVER sample'))
  report.check(found.length === count / 2, `words "SERVER sample": ${found.length} projects`)
}

async function queryFiles(report, storage, project, stored) {
  const files = storage.getFileStorage(project.id)
  const paths = sample(stored, 1000)
  const byPath = await report.time('find files by path, one after another', paths.length, async () => {
    const found = []
    for (const { path } of paths) found.push(await files.getByPath(path))
    return found
  }, 'files')
  report.check(byPath.every((file, at) => file?.path === paths[at].path), `${number(paths.length)} paths: each file found`)

  const counts = new Map()
  for (const { extension } of stored) counts.set(extension, (counts.get(extension) ?? 0) + 1)
  const [extension, count] = [...counts].filter(([found]) => found).sort((a, b) => a[1] - b[1]).at(-2) ?? ['.none', 0]
  const byExtension = await report.time('find files by extension', (list) => list.length, () =>
    files.getByExtension(extension.slice(1)), 'files')
  report.check(byExtension.length === count, `extension "${extension}": ${number(byExtension.length)} files, by path`)

  const word = 'Copyright'
  const found = await report.time(`search the content of all files`, stored.length, () => files.search(word), 'files')
  const expected = expectedMatches(stored, word.toLowerCase())
  report.check(same(found.map(({ path }) => path), expected), `content or path holds "${word}": ${number(found.length)} files`)

  const listed = await report.time('list all files without content', (list) => list.length, () =>
    files.list({ includeContent: false, includeAllVersions: false }), 'files')
  report.check(listed.length === stored.length && !('content' in listed[0]), `${number(listed.length)} latest versions, no content read`)
}

function expectedMatches(stored, word) {
  const matches = ({ source, path, versioned, reverted }) => {
    const content = versioned && !reverted ? 'written by the demo, call' : readFileSync(source, 'utf8')
    return path.toLowerCase().includes(word) || content.toLowerCase().includes(word)
  }
  return stored.filter(matches).map(({ path }) => path)
}
