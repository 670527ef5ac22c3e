// What is measured, one function for each group of rows.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ProjectStorageV2 } from '../../index.mjs'
import { content, file, files, sample } from './data.mjs'
import { alternate, perItem } from './measure.mjs'

const total = 5000

export async function measureAll({ directory, Sqlite, rounds }) {
  const rows = []
  const add = (work, unit, [ours, theirs], peer) => {
    rows.push({ work, unit, ours, theirs, peer })
    console.log(`  ${work}`)
  }
  const bench = { directory, Sqlite, rounds, add, base: (name) => join(directory, name) }
  await creating(bench)
  const filled = await bulk(bench)
  await reading(bench, filled)
  await updating(bench, filled)
  await filled.storage.close()
  filled.sqlite?.close()
  await opening(bench, filled)
  await growing(bench)
  await remembering(bench)
  return rows
}

/** A fast wrong answer is none. */
function expect(found, field = 'content') {
  if (!found?.[field]) throw new Error(`a read gave ${found === null ? 'null' : typeof found} instead of a file`)
  return found
}

async function project(basePath, options) {
  const storage = new ProjectStorageV2({ basePath, ...options })
  const { id } = await storage.create({ name: 'bench', path: '/bench' })
  return { storage, id, files: storage.getFileStorage(id) }
}

async function creating({ rounds, add, base, Sqlite }) {
  const ours = await project(base('create'))
  const theirs = Sqlite && new Sqlite(base('create.sqlite'))
  const count = 50
  let n = 0
  add('durable create, one after another, 4 KB', 'µs each', await alternate(
    rounds,
    () => perItem(count, async () => {
      for (let at = 0; at < count; at++) await ours.files.create(file(n++))
    }),
    theirs && (() => perItem(count, () => {
      for (let at = 0; at < count; at++) theirs.create(file(n++))
    })),
  ))
  add('durable create, 200 at once, 4 KB', 'µs each', await alternate(rounds, () =>
    perItem(200, () => Promise.all(Array.from({ length: 200 }, () => ours.files.create(file(n++))))),
  ))
  await ours.storage.close()
  theirs?.close()
}

async function bulk({ rounds, add, base, Sqlite }) {
  const list = files(total)
  let last
  let sqlite
  add(`bulk create ${total.toLocaleString('en')} × 4 KB, one batch`, 'µs each', await alternate(
    Math.min(rounds, 5),
    async (round) => {
      await last?.storage.close()
      last = await project(base(`bulk${round}`))
      return perItem(total, async () => {
        last.created = await last.files.createMany(list)
      })
    },
    Sqlite && ((round) => {
      sqlite?.close()
      sqlite = new Sqlite(base(`bulk${round}.sqlite`))
      return perItem(total, () => sqlite.createMany(list))
    }),
  ))
  return { ...last, sqlite, ids: last.created.map(({ id }) => id), paths: list.map(({ path }) => path) }
}

async function reading({ rounds, add }, { storage, id, files: target, sqlite, ids, paths }) {
  // The cache holds 100 entries unless more are asked for.
  const few = sample(ids, 50)
  const many = sample(ids, 2000)
  const rowIds = many.map((found) => ids.indexOf(found) + 1)
  const each = (list, read) => perItem(list.length, async () => {
    for (const item of list) expect(await read(item))
  })
  const eachSync = (list, read) => perItem(list.length, () => list.forEach((item) => expect(read(item))))
  const repeated = Array.from({ length: 40 }, () => few).flat()
  const uncached = new ProjectStorageV2({ basePath: storage.basePath, cacheEnabled: false }).getFileStorage(id)
  const cheap = sqlite && (() => eachSync(rowIds, (row) => sqlite.byId.get(row)))
  add('getById, cached, 4 KB', 'µs', await alternate(rounds, () => each(repeated, (found) => target.getById(found)), cheap))
  add('getById, not cached, 4 KB', 'µs', await alternate(rounds, () => each(many, (found) => uncached.getById(found)), cheap))
  add('find by path, not cached, 4 KB', 'µs', await alternate(
    rounds,
    () => each(sample(paths, 2000), (path) => uncached.getByPath(path)),
    sqlite && (() => eachSync(sample(paths, 2000), (path) => sqlite.byPath.get(path))),
  ))
  add('list with content, not cached', 'µs each', await alternate(
    rounds,
    () => perItem(total, async () => expect((await uncached.list()).at(total - 1))),
    sqlite && (() => perItem(total, () => sqlite.all.all())),
  ))
  add('list without content, not cached', 'µs each', await alternate(
    rounds,
    () => perItem(total, async () => expect((await uncached.list({ includeContent: false })).at(total - 1), 'path')),
    sqlite && (() => perItem(total, () => sqlite.heads.all())),
  ))
}

async function updating({ rounds, add }, { storage, id, sqlite, ids }) {
  const count = 50
  let n = 0
  add(`updateProjectFile in a project of ${total.toLocaleString('en')} files`, 'µs each', await alternate(
    rounds,
    (round) => perItem(count, async () => {
      for (const found of sample(ids, count)) await storage.updateProjectFile(id, found, { content: content(n++, round) })
    }),
    sqlite && ((round) => perItem(count, () => {
      for (const row of sample(ids.map((_, at) => at + 1), count)) sqlite.update(row, content(n++, round))
    })),
  ))
}

async function opening({ rounds, add }, { storage, id, ids }) {
  const database = join(storage.basePath, 'data', 'project_storage')
  const path = join(database, 'project_data', String(id), 'files.json')
  const megabytes = Math.round(readFileSync(path).length / 1e6)
  const open = async () => {
    const fresh = new ProjectStorageV2({ basePath: storage.basePath })
    const time = await perItem(1, async () => expect(await fresh.readProjectFile(id, ids[77])))
    await fresh.close()
    return time
  }
  const reserved = join(database, '.storage')
  const checkpoints = readdirSync(reserved).filter((name) => name.startsWith('index-')).map((name) => join(reserved, name))
  if (checkpoints.length === 0) throw new Error('there is no index checkpoint to open with')
  const openWithout = async () => {
    const kept = checkpoints.map((name) => readFileSync(name))
    for (const name of checkpoints) rmSync(name)
    const time = await open()
    for (const [at, name] of checkpoints.entries()) writeFileSync(name, kept[at])
    return time
  }
  const parse = () => perItem(1, () => JSON.parse(readFileSync(path, 'utf8'))[ids[77]])
  const work = `open ${megabytes} MB and read one`
  const [ours, without, parsed] = await alternate(rounds, open, openWithout, parse)
  add(work, 'µs', [ours, parsed], 'JSON.parse of the file')
  add(work, 'µs', [ours, without], 'without index checkpoint')
}

/** Whether a create costs more where there is more already. */
async function growing({ rounds, add, base }) {
  const [small, large] = [1000, 50_000]
  const sides = []
  for (const size of [large, small]) {
    const side = await project(base(`grow${size}`))
    for (let at = 0; at < size; at += 5000) {
      const batch = Array.from({ length: Math.min(5000, size - at) }, (_, n) => ({ name: 'x', path: `x/${at + n}`, content: 'x' }))
      await side.files.createMany(batch)
    }
    // The bulk must not be written to the JSON file while we measure.
    await side.storage.close()
    const storage = new ProjectStorageV2({ basePath: base(`grow${size}`) })
    sides.push({ storage, files: storage.getFileStorage(side.id) })
  }
  let n = 0
  const round = ({ files: target }) => () => perItem(100, async () => {
    for (let at = 0; at < 100; at++) await target.create({ name: 'y', path: `y/${n++}`, content: 'y' })
  })
  const names = [`create where there are ${large.toLocaleString('en')} files`, `where there are ${small.toLocaleString('en')}`]
  add(names[0], 'µs each', await alternate(rounds, ...sides.map(round)), names[1])
  for (const { storage } of sides) await storage.close()
}

async function remembering({ add, base }) {
  const child = fileURLToPath(new URL('memory-child.mjs', import.meta.url))
  const count = 20_000
  const sizes = []
  for (const size of [1, count]) {
    const basePath = base(`memory${size}`)
    mkdirSync(basePath)
    const { storage, id, files: target } = await project(basePath)
    let first
    for (let at = 0; at < size; at += 5000) {
      const batch = Array.from({ length: Math.min(5000, size - at) }, (_, n) => file(at + n))
      const created = await target.createMany(batch)
      first ??= created[0].id
    }
    await storage.close()
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--expose-gc', child, basePath, String(id), String(first)], { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
    sizes.push(Number(stdout))
  }
  add('memory for each 4 KB file of an open project', 'bytes', [(sizes[1] - sizes[0]) / (count - 1)])
}
